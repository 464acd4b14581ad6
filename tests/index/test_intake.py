"""Intake and trash: what fails behind a commit, and names that are taken, cost no file."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index import Library, LibraryBusy, LibraryDamaged, Making, New, Query, journal, trash
from index.dedup import dedup
from tests.index.conftest import new, picture, png
from tests.index.given import Given


def told(image: Image.Image, text: str) -> bytes:
    """The picture as a PNG that says something."""
    info, data = PngInfo(), io.BytesIO()
    info.add_text("parameters", text)
    image.save(data, "PNG", pnginfo=info)
    return data.getvalue()


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_behind_the_commit_leaves_every_picture_its_file(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "follow", stop)
    with pytest.raises(KeyboardInterrupt):
        library.keep([new(n) for n in range(3)])
    monkeypatch.undo()
    again = Library.open(library.root, Given())
    assert [entry.path.exists() for entry in again.list(Query())] == [True] * 3
    assert again.verify() == []


def test_ctrl_c_before_the_commit_leaves_no_file(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "count", stop)
    with pytest.raises(KeyboardInterrupt):
        library.keep([new(n) for n in range(3)])
    monkeypatch.undo()
    assert library.list(Query()) == [] and list((library.root / "pictures").rglob("*.png")) == []


def test_a_turn_that_never_comes_behind_the_commit_costs_no_file(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = library.keep([new(7)])
    library.delete([old.id])

    def busy(*_: object) -> None:
        raise LibraryBusy("The library stayed locked by others.", "Try again.")

    monkeypatch.setattr(trash, "settle", busy)
    with pytest.raises(LibraryBusy):
        library.keep([new(8), new(7)])
    monkeypatch.undo()
    again = Library.open(library.root, Given())
    assert [entry.path.exists() for entry in again.list(Query())] == [True, True]
    assert again.verify() == []


def test_a_picture_that_comes_again_takes_no_name_of_the_trash(library: Library) -> None:
    image = picture(7)
    kept = [
        New(told(image, text), "a fox", image, Making("tests", prompt=text))
        for text in ("first", "second")
    ]
    [entry] = library.keep(kept[:1])
    library.delete([entry.id])
    library.keep(kept[1:])
    files = sorted(path.read_bytes() for path in (library.root / "pictures").rglob("*.png"))
    assert files == sorted(new.data for new in kept)
    assert library.verify() == []


def test_what_comes_from_the_trash_goes_over_no_other_file(library: Library) -> None:
    [entry] = library.keep([new(7)])
    library.delete([entry.id])
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    entry.path.write_bytes(b"somebody else's")
    library.restore([entry.id])
    assert entry.path.read_bytes() == b"somebody else's"
    [back] = library.list(Query())
    assert back.path != entry.path and back.path.read_bytes() == new(7).data


def test_a_move_that_a_crash_cut_short_is_finished(library: Library) -> None:
    [entry] = library.keep([new(7)])
    library.delete([entry.id])
    buried = library.root / "trash" / entry.id / entry.path.relative_to(library.root)
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    os.link(buried, entry.path)
    library.restore([entry.id])
    assert entry.path.exists() and not buried.exists() and library.verify() == []


def test_pictures_on_another_disk_go_to_the_trash_and_come_back(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    library = Library.create(tmp_path / "library", Given())
    other = shared / f"sovgen-{os.getpid()}"
    other.mkdir()
    try:
        (library.root / "pictures").rmdir()
        (library.root / "pictures").symlink_to(other)
        [entry] = library.keep([new(7)])
        library.delete([entry.id])
        assert not entry.path.exists() and Library.open(library.root, Given()).list(Query()) == []
        library.restore([entry.id])
        assert entry.path.read_bytes() == new(7).data and library.verify() == []
    finally:
        for path in sorted(other.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        other.rmdir()


def test_moving_takes_nothing_from_the_library_whichever_way_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    library = Library.create(tmp_path / "link" / "library", Given())
    [entry] = library.keep([new(7)])
    monkeypatch.chdir(library.root)
    report = library.add([Path(os.path.realpath("."))], mode="move")
    assert (report.added, report.known, report.failed) == ([], 1, [])
    assert entry.path.exists() and library.verify() == []


def test_a_link_is_no_copy_to_be_spared(library: Library) -> None:
    folder = library.root / "pictures" / "own"
    folder.mkdir()
    (folder / "real.png").write_bytes(png(picture(9)))
    (folder / "a-link.png").symlink_to(folder / "real.png")
    library.add([folder], mode="in-place")
    assert dedup(library.store).removed == []
    assert all(entry.path.exists() for entry in library.list(Query()))


@pytest.mark.parametrize("id", ["../../victim", "../victim"])
def test_a_library_of_somebody_else_removes_nothing_outside(library: Library, id: str) -> None:
    library.keep([new(3)])
    victim = library.root.parent / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("mine")
    with library.store.writing() as connection:
        connection.execute("INSERT INTO deleted VALUES (900, ?, now()::TIMESTAMP, true)", [id])
        connection.execute("INSERT INTO unsettled VALUES (900, ?)", [id])
    library.backup(library.root.parent / "b.zip")
    Library.open(library.root, Given())
    Library.from_backup(library.root.parent / "b.zip", library.root.parent / "laid")
    assert (victim / "thesis.txt").read_text() == "mine"


def test_a_record_that_leads_out_of_the_library_is_refused(library: Library) -> None:
    library.keep([new(3)])
    with library.store.writing() as connection:
        connection.execute("UPDATE files SET path = '../victim.png'")
    with pytest.raises(LibraryDamaged, match="leads out of the library"):
        library.list(Query())


def test_a_disk_with_little_room_is_no_line_written(library: Library) -> None:
    library.keep([new(3)])
    path = journal.path_of(library.root)
    before = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 30, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            journal.append(path, [{"picture": "a" * 52, "rating": 5}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    journal.append(path, [{"picture": "b" * 52, "rating": 5}])
    assert json.loads(path.read_bytes().splitlines()[-1])["picture"] == "b" * 52


def test_without_hard_links_backups_are_written_and_catalogues_replaced(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.keep([new(3)])

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    library.keep([new(4)])
    library.backup(tmp_path / "b.zip")
    Library.rebuild(library.root, Given())
    assert len(Library.open(library.root, Given()).list(Query())) == 2
    assert len(Library.from_backup(tmp_path / "b.zip", tmp_path / "laid").list(Query())) == 2
