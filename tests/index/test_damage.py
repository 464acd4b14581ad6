"""Damage: what disks, clocks and hands do to a library is told in one line, and never served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from index import (
    Library,
    LibraryDamaged,
    LibraryNewer,
    NoLibrary,
    Query,
    curate,
    question,
    saved,
)
from index.dedup import dedup
from index.duplicates import duplicates
from index.refresh import refresh
from tests.index.boxes import ROOT
from tests.index.conftest import new, picture, png
from tests.index.given import Given
from tests.index.test_rebuild import everything


@pytest.fixture
def kept(library: Library) -> Library:
    entries = library.keep([new(n, prompt=f"number {n}") for n in range(4)])
    curate.tag(library, [entries[0].id], ["mine"])
    refresh(library.store, force=True)
    return library


def kill(root: Path, fault: str, statement: str) -> None:
    """Let a process die at a fault point while it does something to `library`."""
    script = (
        "import sys; from index import Library, curate; from tests.index.given import Given\n"
        "from tests.index.conftest import new\n"
        f"library = Library.open(sys.argv[1], Given()); {statement}"
    )
    environment = {**os.environ, "SOVGEN_FAULT": fault}
    command = [sys.executable, "-c", script, str(root)]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9


@pytest.mark.parametrize("fault", ["committed", "journaled"])
def test_a_torn_log_costs_no_more_than_what_nobody_was_told_of(kept: Library, fault: str) -> None:
    """A disk may lose the end of the log of a killed writer: wherever it tears, all or nothing."""
    before = {entry.id for entry in kept.list(Query(k=None))}
    kill(kept.root, fault, "library.keep([new(9)])")
    log = Path(f"{kept.store.path}.wal")
    size = log.stat().st_size
    for place, length in enumerate([0, 1, 20, size // 3, size // 2, size - 100, size - 1]):
        root = kept.root.with_name(f"torn-{place}")
        shutil.copytree(kept.root, root)
        os.truncate(root / log.name, length)
        try:
            Library.open(root, Given())
        except LibraryDamaged as error:
            assert "repair" in error.hint and "\n" not in error.message
        assert Library.repair(root, Given()).left == []
        after = Library.open(root, Given())
        assert before <= {entry.id for entry in after.list(Query(k=None))}
        assert len(after.list(Query(k=None))) == 5  # its file was there and was taken in
        assert len(after.search(Query("x", everything=True)).hits) == 5


def test_no_flipped_bit_of_the_catalogue_is_overlooked(kept: Library) -> None:
    """Blocks are proved when they are read, and a question reads a few of them."""
    before, whole = everything(kept), kept.store.path.read_bytes()
    named = []
    for place in range(12_288 + 1000, len(whole), 262_144):  # headers, then blocks of 256 KiB
        data = bytearray(whole)
        data[place] ^= 16
        kept.store.path.write_bytes(data)
        try:
            assert kept.verify() == []
        except LibraryDamaged:
            named.append(bytes(data))
        else:
            assert everything(kept) == before  # the block is of use to nobody
    assert len(named) > 10
    for data in (named[0], named[-1]):
        kept.store.path.write_bytes(data)
        with pytest.raises(LibraryDamaged, match="mending") as caught:
            Library.repair(kept.root, Given())
        assert "library rebuild" in caught.value.hint and kept.store.path.read_bytes() == data
    Library.rebuild(kept.root, Given())
    assert everything(Library.open(kept.root, Given())) == before


def test_a_library_that_is_moved_is_the_same_library(kept: Library, tmp_path: Path) -> None:
    elsewhere = tmp_path / "outside.png"
    elsewhere.write_bytes(png(picture(50)))
    kept.add([elsewhere], "in-place")
    before = everything(kept)
    there = tmp_path / "another disk" / "pictures of mine"
    there.parent.mkdir()
    kept.root.rename(there)
    with pytest.raises(NoLibrary) as caught:
        kept.search(Query("x"))
    assert str(kept.root) in caught.value.message
    moved = Library.open(there, Given())
    assert everything(moved) == before and moved.verify() == []
    assert all(e.path.is_file() for e in moved.list(Query()))
    link = tmp_path / "link"
    link.symlink_to(there)
    assert everything(Library.open(link, Given())) == before


def test_a_catalogue_that_is_older_than_its_journal_is_told(kept: Library) -> None:
    """As when a backup of the one file library.duckdb was put back over it."""
    old = kept.store.path.read_bytes()
    entry = kept.keep([new(9)])[0]
    curate.rate(kept, [entry.id], 5)
    kept.store.path.write_bytes(old)
    assert "orphan" in {d.kind for d in Library.open(kept.root, Given()).verify()}
    assert Library.repair(kept.root, Given()).left == []
    assert Library.open(kept.root, Given()).get(entry.id).rating == 5


def test_pictures_from_a_clock_that_was_ahead_are_told_and_put_right(kept: Library) -> None:
    first = kept.list(Query())[-1]
    ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=4000)
    with kept.store.writing() as connection:
        connection.execute("UPDATE pictures SET added = ? WHERE id = ?", [ahead, first.id])
    os.utime(first.path, (ahead.timestamp(), ahead.timestamp()))
    assert [e.id for e in kept.list(Query())][-1] == first.id  # the order is that of their coming
    assert [(d.kind, d.where) for d in kept.verify()] == [("future", first.id)]
    assert Library.repair(kept.root, Given()).left == []
    assert kept.get(first.id).added <= datetime.now(UTC)
    assert kept.verify() == []


@pytest.mark.parametrize("moment", [-86400, 0, 4_500_000_000])
def test_no_clock_stops_a_backup(kept: Library, tmp_path: Path, moment: int) -> None:
    """A machine without a battery begins in 1970, and a zip cannot tell of times before 1980."""
    for path in kept.root.rglob("*"):
        os.utime(path, (moment, moment))
    kept.backup(tmp_path / "b.zip")
    again = Library.from_backup(tmp_path / "b.zip", tmp_path / "again")
    assert everything(Library.open(again.root, Given())) == everything(kept)
    assert len(kept.keep([new(7)])) == 1 and kept.verify() == []


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a library with its time, but for tickets, which are taken to read as well."""
    files = [p for p in root.rglob("*") if p.is_file() and p.parent.name != "locks"]
    return {str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


@pytest.mark.parametrize("log", [False, True])
def test_nothing_touches_a_library_of_a_newer_version(
    kept: Library, tmp_path: Path, log: bool
) -> None:
    id = kept.list(Query())[0].id
    newer = "UPDATE meta SET value = '999' WHERE key = 'schema'"
    if log:
        script = f"with library.store.writing() as c: c.execute({newer!r})"
        kill(kept.root, "committed", f"\n{script}")
    else:
        with kept.store.writing() as connection:
            connection.execute(newer)
    before = tree(kept.root)
    assert ("library.duckdb.wal" in before) == log
    for attempt in (
        lambda: Library.open(kept.root),
        lambda: Library.repair(kept.root, Given()),
        lambda: Library.rebuild(kept.root, Given()),
        lambda: Library.rebuild(kept.root),
        lambda: kept.keep([new(9)]),
        lambda: kept.add([tmp_path]),
        lambda: kept.list(Query()),
        lambda: kept.search(Query("x")),
        lambda: kept.delete([id]),
        lambda: kept.empty_trash(),
        lambda: kept.verify(),
        lambda: kept.info(),
        lambda: kept.reembed(Given("other")),
        lambda: kept.backup(tmp_path / "b.zip"),
        lambda: curate.tag(kept, [id], ["x"]),
        lambda: curate.new_set(kept, "x"),
        lambda: curate.list_sets(kept),
        lambda: saved.save_search(kept, "x", Query("x")),
        lambda: saved.list_searches(kept),
        lambda: question.answer(kept.store, "FROM library"),
        lambda: duplicates(kept.store),
        lambda: dedup(kept.store),
        lambda: kept.trashed(),
        lambda: kept.restore([id]),
        lambda: kept.get(id),
        lambda: kept.store.compact(),
        lambda: refresh(kept.store, force=True),
    ):
        with pytest.raises(LibraryNewer) as caught:
            attempt()
        assert "Update" in caught.value.hint
        assert tree(kept.root) == before
