"""Adding: picture files that stand somewhere become pictures of the library.

Files are decoded while the encoder works on those before them. What fails alone is reported and
stops nothing; each batch that was committed stays, whatever happens to the next.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from index import faults, placing
from index.atomic import disk_refusals
from index.decoding import decoded
from index.entry import Entry
from index.errors import UnreadableImage
from index.intake import Incoming, Taken, take_in
from index.record import Record, candidates
from index.refresh import refresh

if TYPE_CHECKING:
    from PIL import Image

    from index.decoding import Read
    from index.encoder import Encoder
    from index.store import Store

Mode = Literal["copy", "move", "in-place"]
OnProgress = Callable[[int, int], None]

# A batch closes at either bound, so that a few large photographs cannot fill the memory.
BATCH = 32
BATCH_PIXELS = 64_000_000


@dataclass(frozen=True)
class Failure:
    """A file that was not added, and why, in a few words."""

    path: Path
    reason: str


@dataclass(frozen=True)
class AddReport:
    """What adding did: new pictures, how many files held known ones, what failed.

    What a hidden set holds is in none of them: it stays where it is, and nobody is told.
    """

    added: list[Entry]
    known: int
    failed: list[Failure]


def add(
    store: Store,
    encoder: Encoder,
    paths: Iterable[str | Path],
    mode: Mode = "copy",
    on_progress: OnProgress | None = None,
) -> AddReport:
    """Add files, and the picture files within folders; see `index.intake` for what is raised.

    mode: copy into the library, move into it, or leave the files where they are
    on_progress: called with how many files are done and how many there are
    """
    files = [p for p in candidates(paths) if not _is_housekeeping(p, store.root)]
    failed, added, known, done = list[Failure](), list[Entry](), 0, 0
    for batch, failures in _batches(files):
        failed += failures
        incoming = [_incoming(record, image, mode) for record, image in batch]
        taken, refused = _taken(store, encoder, incoming)
        if mode == "move":
            _remove_moved(store.root, taken)
        failed += refused
        shown = [t for _, t in taken if not t.entry.hidden]
        known += sum(t.known for t in shown)
        added += [t.entry for t in shown if not t.known]
        done += len(batch) + len(failures)
        if on_progress is not None:
            on_progress(done, len(files))
    refresh(store)
    return AddReport(added, known, failed)


def _is_housekeeping(path: Path, root: Path) -> bool:
    """Whether a file is the library's own: a folder that holds the library may be added."""
    within = _within(path, root)
    return within is not None and within.parts[0] in {"thumbs", "trash", "vectors", "locks"}


def _within(path: Path, root: Path) -> Path | None:
    """The file's path in the library, whichever way leads to it; None where it stands outside."""
    real, home = Path(os.path.realpath(path.parent)) / path.name, os.path.realpath(root)
    return real.relative_to(home) if real.is_relative_to(home) else None


def _batches(files: Sequence[Path]) -> Iterator[tuple[list[Read], list[Failure]]]:
    """Decoded files, and those that cannot be decoded, a batch at a time; decoding runs ahead."""
    batch: list[Read] = []
    failures: list[Failure] = []
    pixels = 0
    for path, read in decoded(files):
        if isinstance(read, str):
            failures.append(Failure(path, read))
        else:
            batch.append(read)
            pixels += read[0].width * read[0].height
        if len(batch) + len(failures) >= BATCH or pixels >= BATCH_PIXELS:
            yield batch, failures
            batch, failures, pixels = [], [], 0
    if batch or failures:
        yield batch, failures


def _incoming(record: Record, image: Image.Image, mode: Mode) -> Incoming:
    stem = placing.slug(record.path.stem)
    read = None if mode == "in-place" else partial(_same_bytes, record)
    return Incoming(record, image, stem, read)


def _same_bytes(record: Record) -> bytes:
    """The file's bytes, which must still be those that were decoded."""
    try:
        data = record.path.read_bytes()
    except OSError as error:
        raise UnreadableImage(record.path, "it vanished while it was being added") from error
    if hashlib.sha256(data).hexdigest() != record.file_sha256:
        raise UnreadableImage(record.path, "it changed while it was being added")
    return data


def _taken(
    store: Store, encoder: Encoder, incoming: Sequence[Incoming]
) -> tuple[list[tuple[Incoming, Taken]], list[Failure]]:
    """Take in what can be; a file that changed under our hands is left out of the batch."""
    rest, failures = list(incoming), list[Failure]()
    while rest:
        try:
            return list(zip(rest, take_in(store, encoder, rest), strict=True)), failures
        except UnreadableImage as error:
            path = Path(error.path)
            failures.append(Failure(path, error.reason))
            rest = [i for i in rest if i.record.path != path]
    return [], failures


def _remove_moved(root: Path, taken: Sequence[tuple[Incoming, Taken]]) -> None:
    """The last step of a move: the copy is committed, so the source can go."""
    for incoming, _ in taken:
        place = incoming.record.path
        if _within(place, root) is None:
            faults.reach("moving")
            with disk_refusals(place.parent):
                place.unlink(missing_ok=True)
