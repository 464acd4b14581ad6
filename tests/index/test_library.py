"""Library: pictures go in by every door, are found, and leave through the trash."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from index import (
    AmbiguousId,
    EncoderMismatch,
    EncoderMissing,
    Library,
    LibraryExists,
    NoSuchPicture,
    Query,
    adding,
    curate,
    intake,
    journal,
)
from index.intake import Incoming, Taken, take_in
from index.store import Store
from tests.index.boxes import run_python
from tests.index.conftest import new, picture, png
from tests.index.given import Given


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with three pictures, one of them twice, and two files that are none."""
    folder = tmp_path / "outside"
    (folder / "deeper").mkdir(parents=True)
    for number, name in enumerate(["one.png", "deeper/Zwei Füchse!.png", "three.png"], 1):
        (folder / name).write_bytes(png(picture(number)))
    (folder / "twin.png").write_bytes(png(picture(1)))
    (folder / "text.png").write_text("no picture")
    (folder / "half.png").write_bytes(png(picture(9))[:40])
    (folder / "notes.txt").write_text("left out in silence")
    return folder


def names(folder: Path) -> set[str]:
    """Its files, the journal apart."""
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in files if not name.startswith(".curation/")}


def test_a_new_library_is_for_its_owner_alone(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    for path in [library.root, *library.root.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert entry.path.read_bytes() == png(picture(1))


def test_where_a_library_stands_no_second_one_is_made(library: Library) -> None:
    library.keep([new(1)])
    with pytest.raises(LibraryExists):
        Library.create(library.root, Given("another"))
    assert len(Library.open(library.root).list(Query())) == 1


def test_kept_pictures_have_dated_folders_and_plain_names(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    assert entry.path.parent == library.root / "pictures" / f"{entry.added:%Y/%m/%d}"
    assert entry.path.name == f"picture-1-{entry.id[:8]}.png"
    assert (library.root / "thumbs" / entry.id[:2] / f"{entry.id}.webp").is_file()


def test_pictures_kept_twice_stand_once(library: Library) -> None:
    first = library.keep([new(1), new(1), new(2)])
    assert first[0] == first[1] and len({e.id for e in first}) == 2
    assert library.keep([new(1)])[0] == first[0]
    assert len(names(library.root / "pictures")) == 2 and library.verify() == []


def test_nothing_is_looked_at_that_is_known(library: Library, encoder: Given) -> None:
    library.keep([new(1), new(2), new(1)])
    library.keep([new(1), new(2)])
    assert encoder.images_seen == 2


def test_a_folder_is_added_as_copies_and_left_as_it_was(library: Library, outside: Path) -> None:
    before, progress = names(outside), []
    report = library.add([outside], on_progress=lambda done, total: progress.append((done, total)))
    assert len(report.added) == 3 and report.known == 1
    assert {(f.path.name, f.reason) for f in report.failed} == {
        ("half.png", "the file is truncated or damaged"),
        ("text.png", "it is text, not a picture"),
    }
    assert progress[-1] == (6, 6)
    assert names(outside) == before
    assert {e.path.name.rpartition("-")[0] for e in report.added} == {"one", "zwei-fuchse", "three"}
    assert library.verify() == []
    again = library.add([outside])
    assert (len(again.added), again.known) == (0, 4)


def test_moving_takes_the_sources_away_but_only_what_was_taken_in(
    library: Library, outside: Path
) -> None:
    library.add([outside], "move")
    assert names(outside) == {"half.png", "text.png", "notes.txt"}
    assert len(names(library.root / "pictures")) == 3 and library.verify() == []


def test_in_place_nothing_is_copied_and_deleting_leaves_the_file(
    library: Library, outside: Path
) -> None:
    report = library.add([outside], "in-place")
    assert names(library.root / "pictures") == set()
    assert all(e.path.is_relative_to(outside) for e in report.added)
    before = names(outside)
    assert library.delete([e.id for e in report.added]) == 3
    assert library.empty_trash() == 3
    assert names(outside) == before and library.list(Query()) == []


def test_a_folder_that_holds_the_library_can_be_added(library: Library) -> None:
    library.keep([new(1)])
    (library.root.parent / "more.png").write_bytes(png(picture(2)))
    report = library.add([library.root.parent], "move")
    assert (len(report.added), report.known, report.failed) == (1, 1, [])
    assert library.verify() == []


def test_a_lost_file_comes_back_when_it_is_added_again(library: Library, tmp_path: Path) -> None:
    entry = library.keep([new(1)])[0]
    entry.path.unlink()
    (tmp_path / "again.png").write_bytes(png(picture(1)))
    library.add([tmp_path / "again.png"])
    assert entry.path.is_file() and library.verify() == []


def test_a_failing_batch_leaves_neither_rows_nor_files(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    library.keep([new(1)])
    monkeypatch.setattr(intake, "_commit", fail)
    with pytest.raises(ZeroDivisionError):
        library.keep([new(2), new(3)])
    assert len(names(library.root / "pictures")) == 1
    assert len(library.list(Query())) == 1 and library.verify() == []


def test_the_trash_gives_back_a_picture_with_all_that_was_said_of_it(library: Library) -> None:
    entry, other = library.keep([new(1, prompt="a fox"), new(2)])
    curate.rate(library, [entry.id], 5)
    curate.tag(library, [entry.id], ["best"])
    before = library.get(entry.id)
    assert library.delete([entry.id[:6]]) == 1
    assert not entry.path.exists() and library.verify() == []
    assert [h.entry.id for h in library.search(Query("x", everything=True)).hits] == [other.id]
    with pytest.raises(NoSuchPicture):
        library.get(entry.id)
    assert [(t.id, t.prompt) for t in library.trashed()] == [(entry.id, "a fox")]
    assert library.restore([entry.id[:6]]) == 1
    assert library.get(entry.id) == before and entry.path.is_file()
    assert library.trashed() == [] and library.verify() == []


def test_a_beginning_of_several_ids_in_the_trash_brings_none_back(library: Library) -> None:
    library.keep([new(1), new(2)])
    with library.store.writing() as connection:
        connection.execute(
            "INSERT INTO deleted SELECT seq, 'foxfox' || seq, now(), false FROM pictures"
        )
    with pytest.raises(AmbiguousId, match="'foxf'"):
        library.restore(["foxf"])
    assert len(library.trashed()) == 2


def test_an_emptied_trash_holds_nothing_and_numbers_go_on(library: Library) -> None:
    first, second = library.keep([new(1), new(2)])
    library.delete([second.id])
    assert library.empty_trash() == 1
    assert names(library.root / "trash") == set() and library.verify() == []
    assert library.info().vectors == 1
    with pytest.raises(NoSuchPicture):
        library.restore([second.id])
    assert library.keep([new(2)])[0].seq == 3


def test_no_byte_of_what_was_emptied_is_left(library: Library) -> None:
    gone = library.keep([new(n, prompt=f"zebrasecret {n} " + "x" * 300) for n in range(60)])
    stays = library.keep([new(100, prompt="an open matter")])[0]
    curate.note(library, [gone[0].id], "zebranote")
    curate.tag(library, [gone[1].id], ["zebratag"])
    library.delete([entry.id for entry in gone])
    library.empty_trash()
    for path in (p for p in library.root.rglob("*") if p.is_file()):
        assert b"zebra" not in path.read_bytes(), path
    assert library.verify() == [] and library.list(Query()) == [stays]
    curate.rate(library, [stays.id], 4)  # triggers still note what is said
    assert journal.read(library.root)["picture", stays.id]["rating"] == 4
    assert library.store.path.stat().st_mode & 0o777 == 0o600


def test_emptying_leaves_the_other_lines_of_the_journal_as_they_are(library: Library) -> None:
    kept = library.keep([new(1), new(2)])
    path = journal.path_of(library.root)
    before = path.read_bytes()
    line = next(li for li in before.splitlines(keepends=True) if kept[1].id.encode() in li)
    path.write_bytes(before + line[:200] + b"\n")  # as a full disk once cut it short
    library.delete([kept[1].id])
    library.empty_trash()
    told = path.read_bytes()
    assert kept[1].id.encode() not in told
    assert told.startswith(before.replace(line, b""))
    assert library.verify() == []
    library.keep([new(2)])  # the same picture, come again
    library.empty_trash()
    assert kept[1].id.encode() in path.read_bytes() and library.verify() == []


def test_a_deleted_picture_that_comes_again_is_restored(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    curate.rate(library, [entry.id], 4)
    library.delete([entry.id])
    assert library.keep([new(1)])[0].id == entry.id
    assert library.get(entry.id).rating == 4 and library.trashed() == []
    assert entry.path.is_file() and library.verify() == []


def test_deleting_is_all_or_none(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    with pytest.raises(NoSuchPicture):
        library.delete([entry.id, "zzzzzz"])
    assert library.get(entry.id) == entry
    assert library.delete([entry.id[:5], entry.id]) == 1


def test_files_that_did_not_follow_their_rows_follow_when_the_library_is_opened(
    library: Library,
) -> None:
    entry = library.keep([new(1)])[0]
    script = "import sys; from index import Library; Library.open(sys.argv[1]).delete(sys.argv[2:])"
    with pytest.raises(AssertionError):  # the child is killed between the row and the file
        run_python(script, library.root, entry.id, SOVGEN_FAULT="committed")
    assert entry.path.is_file() and library.list(Query()) == []
    Library.open(library.root)
    assert not entry.path.exists() and library.verify() == []


def test_a_library_of_another_encoder_opens_and_says_how_to_change_over(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    other = Library.open(library.root, Given("other"))
    assert other.list(Query()) == [entry] and other.get(entry.id) == entry
    for attempt in (lambda: other.keep([new(2)]), lambda: other.search(Query("x"))):
        with pytest.raises(EncoderMismatch) as caught:
            attempt()
        assert caught.value.hint.endswith("sovgen library reembed --encoder /encoders/other")
    with pytest.raises(EncoderMissing):
        _ = Library.open(library.root).encoder
    assert len(names(library.root / "pictures")) == 1


def test_info_tells_what_the_library_holds(library: Library) -> None:
    kept = library.keep([new(1), new(2), new(3)])
    library.delete([kept[0].id])
    info = library.info()
    assert (info.pictures, info.trashed, info.vectors) == (2, 1, 3)
    assert (info.encoder, info.width, info.root) == ("given", 16, library.root)
    assert info.bytes == sum(p.stat().st_size for p in library.root.rglob("*") if p.is_file())
    assert info.index.startswith("exact")


COLD = """
import json, sys
from index import Library, Query
from tests.index.given import Given
library = Library.open(sys.argv[1], Given())
before = len(library.list(Query()))
hits = library.search(Query("x", where="steps IS NULL", everything=True)).hits
heavy = {"torch", "open_clip", "transformers", "diffusers", "pyarrow", "pandas", "scipy"}
print(json.dumps([before, len(hits), sorted(heavy & set(sys.modules))]))
"""


def test_looking_needs_neither_torch_nor_anything_else_that_is_slow(library: Library) -> None:
    library.keep([new(1)])
    assert run_python(COLD, library.root) == [1, 1, []]


def test_a_file_that_changes_while_it_is_added_is_reported(
    library: Library, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(store: Store, encoder: Given, batch: list[Incoming]) -> list[Taken]:
        """Between decoding and copying."""
        (outside / "one.png").write_bytes(png(picture(77)))
        return take_in(store, encoder, batch)

    monkeypatch.setattr(adding, "take_in", meddle)
    report = library.add([outside / "one.png", outside / "three.png"])
    assert [f.reason for f in report.failed] == ["it changed while it was being added"]
    assert [e.path.name[:5] for e in report.added] == ["three"] and library.verify() == []
