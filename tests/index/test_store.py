"""Store: all or nothing, and every refusal of DuckDB or the disk in our own words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from index import (
    BadFolder,
    Library,
    LibraryBusy,
    LibraryDamaged,
    LibraryNewer,
    NoLibrary,
    Query,
)
from index.store import CONFIG, Store
from tests.index.boxes import ROOT, run_boxed
from tests.index.conftest import new
from tests.index.given import Given


def sets_of(store: Store) -> list[str]:
    with store.reading() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sets").fetchall()]


def add_set(store: Store, name: str) -> None:
    with store.writing() as connection:
        connection.execute("INSERT INTO sets VALUES (?, false, '2026-01-01')", [name])


def test_an_error_inside_a_transaction_leaves_nothing_of_it(library: Library) -> None:
    with pytest.raises(ZeroDivisionError), library.store.writing() as connection:
        connection.execute("INSERT INTO sets VALUES ('a', false, '2026-01-01')")
        raise ZeroDivisionError
    assert sets_of(library.store) == []


def test_what_is_committed_needs_no_log_to_be_read(library: Library) -> None:
    add_set(library.store, "a")
    assert not library.store.path.with_name("library.duckdb.wal").exists()
    assert sets_of(library.store) == ["a"]


def test_a_reader_cannot_write(library: Library) -> None:
    with pytest.raises(duckdb.Error), library.store.reading() as connection:
        connection.execute("DELETE FROM sets")


def test_nothing_is_held_open_between_two_calls(library: Library) -> None:
    library.list(Query())
    with duckdb.connect(library.store.path, config=CONFIG) as other:
        assert other.execute("SELECT count(*) FROM pictures").fetchall() == [(0,)]


def test_a_folder_without_a_library_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoLibrary) as caught:
        Library.open(tmp_path / "nowhere")
    assert "sovgen library new" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("who?", "who?: DuckDB"), (os.fsdecode(b"odd-\xff"), r"odd-\xff: DuckDB")]
)
def test_a_folder_that_duckdb_cannot_take_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(BadFolder) as caught:
        Library.create(tmp_path / name, Given())
    assert said in caught.value.message and "another folder" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_signs_in_its_name_is_like_any(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "it's [a] *l#i%20b 🦊", Given())
    assert len(library.keep([new(1)])) == 1 and library.verify() == []


def test_a_program_without_a_ticket_is_waited_for(library: Library) -> None:
    """DuckDB's own shell takes no ticket: we wait for it, and say so when it stays."""
    script = (
        "import duckdb, sys\n"
        f"held = duckdb.connect(sys.argv[1], config={CONFIG!r})\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    shell = subprocess.Popen(
        [sys.executable, "-c", script, str(library.store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert shell.stdin and shell.stdout
    with shell:
        assert shell.stdout.readline() == b"held\n"
        with pytest.raises(LibraryBusy):
            sets_of(Store(library.root, wait_s=0.05))
        shell.stdin.close()
    assert sets_of(library.store) == []


def test_a_log_that_a_killed_writer_left_is_read_even_by_readers(library: Library) -> None:
    kill_after_commit(library)
    assert library.store.path.with_name("library.duckdb.wal").exists()
    assert sets_of(library.store) == ["kept"]
    add_set(library.store, "more")
    assert sorted(sets_of(library.store)) == ["kept", "more"]


def kill_after_commit(library: Library) -> None:
    script = (
        "import sys; from pathlib import Path; from index.store import Store\n"
        "with Store(Path(sys.argv[1])).writing() as c:\n"
        "    c.execute(\"INSERT INTO sets VALUES ('kept', false, '2026-01-01')\")"
    )
    environment = {**os.environ, "SOVGEN_FAULT": "committed"}
    done = subprocess.run([sys.executable, "-c", script, str(library.root)], env=environment)
    assert done.returncode == -9


def test_a_library_that_was_killed_in_the_making_is_none(tmp_path: Path) -> None:
    script = (
        "import sys; from index import Library; from tests.index.given import Given\n"
        "Library.create(sys.argv[1], Given())"
    )
    environment = {**os.environ, "SOVGEN_FAULT": "creating"}
    command = [sys.executable, "-c", script, str(tmp_path / "library")]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9
    with pytest.raises(NoLibrary):
        Library.open(tmp_path / "library")
    library = Library.create(tmp_path / "library", Given())
    assert len(library.keep([new(1)])) == 1
    assert sorted(p.name for p in library.root.glob("*.duckdb*")) == ["library.duckdb"]


def test_a_damaged_log_is_named_and_repair_sets_it_aside(library: Library) -> None:
    library.keep([new(1)])
    kill_after_commit(library)
    log = library.store.path.with_name("library.duckdb.wal")
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    log.write_bytes(damaged)
    with pytest.raises(LibraryDamaged) as caught:
        Library.open(library.root)
    assert "repair" in caught.value.hint
    repaired = Library.repair(library.root)
    assert "set aside" in repaired.done[0] and repaired.left == []
    assert len(Library.open(library.root).list(Query())) == 1
    assert log.with_name(f"{log.name}.damaged-1").read_bytes() == damaged


@pytest.mark.parametrize("part", [slice(8, 12), slice(4096, 12288), slice(12288, None)])
def test_a_catalogue_of_other_bytes_is_named_and_never_written(
    library: Library, part: slice
) -> None:
    library.keep([new(1)])
    data = bytearray(library.store.path.read_bytes())
    data[part] = bytes(byte ^ 0x55 for byte in data[part])
    library.store.path.write_bytes(data)
    with pytest.raises(LibraryDamaged):
        library.list(Query())
        library.keep([new(2)])
    assert library.store.path.read_bytes() == data


def test_a_library_of_a_newer_schema_is_refused_and_not_touched(library: Library) -> None:
    with library.store.writing() as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    before = library.store.path.read_bytes()
    for attempt in (
        lambda: Library.open(library.root),
        lambda: library.keep([new(1)]),
        lambda: library.list(Query()),
    ):
        with pytest.raises(LibraryNewer) as caught:
            attempt()
        assert "Update" in caught.value.hint
    assert library.store.path.read_bytes() == before
    assert not list((library.root / "pictures").iterdir())


def test_a_file_of_a_newer_duckdb_is_refused_and_not_touched(library: Library) -> None:
    data = bytearray(library.store.path.read_bytes())
    assert data[8:12] == b"DUCK"
    data[12:20] = (10_000).to_bytes(8, "little")
    library.store.path.write_bytes(data)
    with pytest.raises((LibraryNewer, LibraryDamaged)):
        Library.open(library.root)
    assert library.store.path.read_bytes() == data


FULL = """
import json, os, sys
import numpy as np
from pathlib import Path
from PIL import Image
os.environ["SOVGEN_CACHE"] = sys.argv[1] + "/cache"
from index import DiskFull, Library, Making, New, Query
from tests.index.conftest import png
from tests.index.given import Given

disk = Path(sys.argv[1])
library = Library.create(disk / "library", Given())
noise = np.random.default_rng(0)
kept, hints, differences, whole = [], set(), [], True


def keep():
    image = Image.fromarray(noise.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    kept.append(library.keep([New(png(image), "full", image, Making("tests"))])[0].id)


keep()
for room in (8_000, 70_000, 300_000):
    free = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - room))
    try:
        while True:
            keep()
    except DiskFull as error:
        hints.add(error.hint)
    whole &= {entry.id for entry in library.list(Query(k=None))} == set(kept)
    differences += library.verify()
    (disk / "ballast").unlink()
    keep()
print(json.dumps([len(kept), whole, [d.text for d in differences], sorted(hints)]))
"""


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=16m none "$1"'
    kept, whole, differences, hints = run_boxed(FULL, tmp_path, mount)
    assert kept >= 4 and whole and differences == []
    assert hints and all("ree some" in hint for hint in hints)


READ_ONLY = """
import json, sys
from pathlib import Path
from index import Library, LibraryReadOnly, Query
from tests.index.conftest import new
from tests.index.given import Given
from tests.index.given import Given

library = Library.open(Path(sys.argv[1]) / "library", Given())
found = library.search(Query("anything", everything=True)).hits
refusals = []
for attempt in (lambda: library.keep([new(2)]), lambda: library.delete([found[0].entry.id])):
    try:
        attempt()
    except LibraryReadOnly as error:
        refusals.append(error.hint)
print(json.dumps([len(found), len(library.list(Query())), library.info().pictures, refusals]))
"""


def test_a_read_only_disk_is_searched_and_not_written(tmp_path: Path) -> None:
    """Not even when files had still to follow their rows."""
    Library.create(tmp_path / "library", Given()).keep([new(1)])
    with Store(tmp_path / "library").writing() as connection:
        connection.execute("INSERT INTO unsettled SELECT seq, id FROM pictures")
    mount = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"'
    found, listed, counted, refusals = run_boxed(READ_ONLY, tmp_path, mount)
    assert (found, listed, counted) == (1, 1, 1)
    assert len(refusals) == 2 and all("writable" in hint for hint in refusals)
