"""Operations: everything that changes a library, each by its name, and what it means.

Each runs in a copy of one folder (`lay`): a library with something of everything in it, its backup,
two pictures that wait outside, and a library of the first schema. Pictures are numbered by
sixteens, since the encoder here takes those for one that differ by less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from index import Library, Query, curate, faults, saved
from index.dedup import dedup
from index.record import pixel_id
from index.refresh import refresh
from tests.crash.journal import Line
from tests.index.conftest import new, picture, png
from tests.index.early import as_the_first_schema_left_it
from tests.index.given import Given

ALIKE = 17  # the picture that differs from number 16 by one level of red


class Coarse(Given):
    """Sees no difference of less than 16 levels, so that pictures can be near-identical."""

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        seen = [np.asarray(image.convert("RGB")) >> 4 for image in images]
        return np.stack([self.vector(levels.tobytes()) for levels in seen])


LAID: tuple[Line, ...] = (
    {"op": "keep", "numbers": [16, ALIKE, 32, 48, 64, 80, 128]},
    {"op": "tag", "number": 16, "tag": "hand-a"},
    {"op": "tag", "number": ALIKE, "tag": "hand-b"},
    {"op": "rate", "number": ALIKE, "rating": 5},
    {"op": "note", "number": 32, "note": "of the sea"},
    {"op": "caption", "number": 32, "caption": "a red fox"},
    {"op": "new-set", "set": "shown"},
    *({"op": "choose", "set": "shown", "number": n} for n in (48, ALIKE, 32, 128)),
    {"op": "new-set", "set": "secret"},
    {"op": "choose", "set": "secret", "number": 128},
    {"op": "hide", "set": "secret"},
    {"op": "save", "search": "foxes", "text": "fox"},
    {"op": "delete", "number": 80},
)


def _id(number: int) -> str:
    return pixel_id(picture(number))


def do_line(library: Library, line: Line) -> None:
    """Do what one line says."""
    id, name = _id(line["number"]) if "number" in line else "", line.get("set", "")
    match line["op"]:
        case "keep":
            library.keep([new(n, prompt=f"number {n}") for n in line["numbers"]])
        case "tag":
            curate.tag(library, [id], [line["tag"]])
        case "untag":
            curate.untag(library, [id], [line["tag"]])
        case "rate":
            curate.rate(library, [id], line["rating"])
        case "note":
            curate.note(library, [id], line["note"] or "")
        case "caption":
            curate.caption(library, [id], line["caption"] or "")
        case "new-set":
            curate.new_set(library, name)
        case "delete-set":
            curate.delete_set(library, name)
        case "hide" | "show":
            curate.hide_set(library, name, hidden=line["op"] == "hide")
        case "choose":
            curate.add_to_set(library, name, [id])
        case "unchoose":
            curate.remove_from_set(library, name, [id])
        case "delete":
            library.delete([id])
        case "restore":
            library.restore([id])
        case "empty":
            library.empty_trash()
        case "save":
            saved.save_search(library, line["search"], Query(line["text"]))
        case "forget":
            saved.delete_search(library, line["search"])


def lay(folder: Path) -> None:
    """Make what every operation starts from."""
    library = Library.create(folder / "library", Coarse())
    for line in LAID:
        do_line(library, line)
    first = library.list(Query(set="shown"))[0].path
    first.with_name("again.png").write_bytes(first.read_bytes())
    library.add([first.with_name("again.png")], "in-place")
    refresh(library.store, force=True)
    library.backup(folder / "earlier.zip")
    (folder / "inbox").mkdir()
    for number in (96, 112):
        (folder / "inbox" / f"{number}.png").write_bytes(png(picture(number)))
    as_the_first_schema_left_it(library.root, folder / "early")
    assert library.verify() == []


@dataclass(frozen=True)
class Operation:
    """Something to do, what it means, and the fault points on its way.

    do: gets the folder; lines: what the library shows more afterwards
    library: the one that is changed, within the folder; before: what it shows
    once: whether it is refused where it is done already
    leaves: the kinds of differences that `verify` may find after a kill
    """

    do: Callable[[Path], object]
    points: str
    lines: tuple[Line, ...] = ()
    library: str = "library"
    before: tuple[Line, ...] = LAID
    once: bool = False
    leaves: str = "orphan"


def carry_out(folder: Path, name: str, passed: Connection | None = None) -> None:
    """Do one, and tell the fault points on its way."""
    OPERATIONS[name].do(folder)
    if passed is not None:
        passed.send(faults.passed)


def _opened(folder: Path) -> Library:
    return Library.open(folder / "library", Coarse())


def _do_all(lines: Sequence[Line], folder: Path) -> None:
    for line in lines:
        do_line(_opened(folder), line)


def _said(points: str, *lines: Line) -> Operation:
    return Operation(partial(_do_all, lines), points, lines, once=True)


def _add(mode: str, folder: Path) -> None:
    report = _opened(folder).add([folder / "inbox"], mode)  # type: ignore[arg-type]
    assert not report.failed


def _mend(folder: Path) -> None:
    """An orphan, a picture without its words, and a snapshot with a flipped bit."""
    (folder / "library" / "pictures" / f"96-{_id(96)[:8]}.png").write_bytes(png(picture(96)))
    with _opened(folder).store.writing() as connection:
        connection.execute("DELETE FROM words WHERE picture = 1")
        connection.execute("INSERT INTO tags VALUES (99, 'stray', 'hand', NULL)")
    for snapshot in (folder / "library" / "vectors").glob("*/snap-*"):
        data = bytearray(snapshot.read_bytes())
        data[len(data) // 2] ^= 1
        snapshot.write_bytes(data)
    faults.passed.clear()
    assert Library.repair(folder / "library", Coarse()).left == []


def _back_up(folder: Path) -> None:
    (folder / "backup.zip").unlink(missing_ok=True)
    _opened(folder).backup(folder / "backup.zip")
    restored = Library.from_backup(folder / "backup.zip", folder / "restored")
    assert restored.verify() == []


ADDED: tuple[Line, ...] = ({"op": "add", "numbers": [96, 112]},)
COMMIT = "committing committed journaled"
SETTLED = "committing committed"

OPERATIONS: dict[str, Operation] = {
    "keep": _said(f"placing placed {COMMIT}", {"op": "keep", "numbers": [96, 112]}),
    "add a copy": Operation(partial(_add, "copy"), f"placing placed {COMMIT}", ADDED),
    "add and move": Operation(partial(_add, "move"), f"placing placed {COMMIT} moving", ADDED),
    "add in place": Operation(partial(_add, "in-place"), f"placed {COMMIT}", ADDED),
    "delete": _said(f"{COMMIT} carrying", {"op": "delete", "number": 16}),
    "restore": _said(f"{COMMIT} carrying", {"op": "restore", "number": 80}),
    "empty": Operation(
        partial(_do_all, [{"op": "empty"}]),
        f"{COMMIT} emptying hiding compacted snapshot-written snapshot-published",
        ({"op": "empty"},),
        leaves="snapshot",  # it still holds what was emptied, which the next search sees and mends
    ),
    "tag": _said(COMMIT, {"op": "tag", "number": 32, "tag": "hand-c"}),
    "untag": _said(COMMIT, {"op": "untag", "number": 16, "tag": "hand-a"}),
    "rate": _said(COMMIT, {"op": "rate", "number": 16, "rating": 3}),
    "note": _said(COMMIT, {"op": "note", "number": 16, "note": "of the shore"}),
    "caption": _said(COMMIT, {"op": "caption", "number": 16, "caption": "a hen"}),
    "make a set": _said(COMMIT, {"op": "new-set", "set": "more"}),
    "unmake a hidden set": _said(COMMIT, {"op": "delete-set", "set": "secret"}),
    "choose": _said(COMMIT, {"op": "choose", "set": "shown", "number": 16}),
    "choose for a hidden set": _said(
        f"{COMMIT} hiding", {"op": "choose", "set": "secret", "number": 16}
    ),
    "unchoose": _said(COMMIT, {"op": "unchoose", "set": "shown", "number": ALIKE}),
    "hide": _said(f"{COMMIT} hiding", {"op": "hide", "set": "shown"}),
    "end hiding": _said(COMMIT, {"op": "show", "set": "secret"}),
    "save a search": _said(COMMIT, {"op": "save", "search": "hares", "text": "hare"}),
    "forget a search": _said(COMMIT, {"op": "forget", "search": "foxes"}),
    "snapshot": Operation(
        lambda folder: refresh(_opened(folder).store, force=True),
        "snapshot-written snapshot-published",
    ),
    "dedup": Operation(
        lambda folder: dedup(_opened(folder).store, "oldest"),
        f"{COMMIT} carrying sparing",
        ({"op": "merge", "number": 16, "other": ALIKE, "files": ["again.png"]},),
    ),
    "re-embed": Operation(
        lambda folder: _opened(folder).reembed(Coarse("other", 24)),
        f"{SETTLED} reembedded switching",
        ({"op": "encoder", "encoder": "other"},),
    ),
    "repair": Operation(
        _mend,
        f"{COMMIT} placed hiding snapshot-written snapshot-published",
        ({"op": "keep", "numbers": [96]},),
        leaves="orphan words stray snapshot",
    ),
    "rebuild": Operation(
        lambda folder: Library.rebuild(folder / "library", Coarse()),
        f"{COMMIT} creating replacing placed hiding snapshot-written snapshot-published",
    ),
    "back up": Operation(_back_up, "archived laid"),
    "restore a backup": Operation(
        lambda folder: Library.from_backup(folder / "earlier.zip", folder / "again"),
        "laid",
        library="again",
        once=True,
    ),
    "create": Operation(
        lambda folder: Library.create(folder / "fresh", Coarse()),
        "creating",
        library="fresh",
        before=(),
        once=True,
    ),
    "migrate": Operation(
        lambda folder: Library.open(folder / "early", Coarse()),
        f"{COMMIT} migrating",
        library="early",
        # searches that are saved and captions came later than the first schema
        before=tuple(line for line in LAID if line["op"] not in ("save", "caption")),
    ),
}
