"""Backup: one file holds the library as it was at one moment, whoever writes meanwhile."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pytest

from index import ExportExists, Library, LibraryDamaged, LibraryExists, Query, backup, curate
from tests.index.boxes import ROOT, run_boxed
from tests.index.conftest import new
from tests.index.given import Given
from tests.index.test_rebuild import everything


@pytest.fixture
def kept(library: Library) -> Library:
    entries = library.keep([new(n, prompt=f"number {n}") for n in range(4)])
    curate.tag(library, [entries[0].id], ["mine"])
    library.delete([entries[3].id])
    return library


def test_a_restored_library_is_the_library(kept: Library, tmp_path: Path) -> None:
    made = kept.backup(tmp_path / "backup.zip")
    assert (made.pictures, made.lacking) == (4, []) and made.bytes == made.path.stat().st_size
    assert made.path.stat().st_mode & 0o777 == 0o600
    Library.from_backup(made.path, tmp_path / "again")
    again = Library.open(tmp_path / "again", Given())
    assert everything(again) == everything(kept)
    assert again.verify() == []
    assert again.restore([again.trashed()[0].id]) == 1 and again.verify() == []
    for path in (tmp_path / "again").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert sorted(p.name for p in (kept.root / "thumbs").rglob("*.webp")) == sorted(
        p.name for p in (again.root / "thumbs").rglob("*.webp")
    )


WRITE = """
import sys
from index import Library, curate
from tests.index.conftest import new
from tests.index.given import Given

library = Library.open(sys.argv[1], Given())
number = 100
while True:
    (entry,) = library.keep([new(number)])
    curate.tag(library, [entry.id], [f"tag {number}"])
    if number % 3 == 0:
        library.delete([entry.id])
    if number % 10 == 9:
        library.empty_trash()
    number += 1
    print(number, flush=True)
"""


def test_a_backup_is_consistent_while_another_process_writes(kept: Library, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(kept.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        counts = [4]
        for number in range(3):
            while int(writer.stdout.readline()) <= 100 + counts[-1] - 4:  # one more is kept
                pass
            made = kept.backup(tmp_path / f"{number}.zip")
            assert made.lacking == []
            counts.append(made.pictures)
        assert writer.poll() is None  # it was at work all the time
        writer.kill()
    assert counts == sorted(set(counts))
    for number, count in enumerate(counts[1:]):
        restored = Library.from_backup(tmp_path / f"{number}.zip", tmp_path / f"restored-{number}")
        assert restored.verify() == []
        with restored.store.reading() as connection:
            held = connection.execute("SELECT count(*) FROM pictures").fetchone()
            untagged = connection.execute(
                "SELECT id FROM library WHERE seq > 4 AND NOT list_contains(tags, 'tag ' || "
                "regexp_extract(path, 'picture-(\\d+)', 1))"
            ).fetchall()
        assert held == (count,)
        assert len(untagged) <= 1  # the one that was kept and not yet tagged


def test_a_lost_file_is_told_and_stops_nothing(kept: Library, tmp_path: Path) -> None:
    lost = kept.list(Query())[0]
    lost.path.unlink()
    assert kept.backup(tmp_path / "b.zip").lacking == [lost.id]
    again = Library.from_backup(tmp_path / "b.zip", tmp_path / "again")
    assert [d.where for d in again.verify()] == [lost.id]


def test_nothing_is_overwritten(kept: Library, tmp_path: Path) -> None:
    assert kept.backup(tmp_path / "new" / "folder" / "b.zip").path.is_file()
    kept.backup(tmp_path / "b.zip")
    with pytest.raises(ExportExists):
        kept.backup(tmp_path / "b.zip")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(LibraryExists):
        Library.from_backup(tmp_path / "b.zip", tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["mine.txt"]


def test_no_flipped_bit_of_a_backup_is_overlooked(kept: Library, tmp_path: Path) -> None:
    path, chance = kept.backup(tmp_path / "b.zip").path, random.Random(3)
    data, before = path.read_bytes(), [entry.id for entry in kept.list(Query())]
    with zipfile.ZipFile(path) as archive:
        headers = [(i.header_offset, i.header_offset + 30) for i in archive.infolist()]
        told = [at for span in (*headers, (archive.start_dir, len(data))) for at in range(*span)]
    refused = 0
    for at in [*chance.sample(told, 60), *chance.sample(range(len(data)), 20)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        try:
            again = Library.from_backup(path, tmp_path / str(at))
        except LibraryDamaged:
            refused += 1
            continue
        # a date, or who may read the file: nothing that a library is made of
        assert again.verify() == [] and [entry.id for entry in again.list(Query())] == before
    assert refused > 20


@pytest.mark.parametrize("part", ["cut", "no zip", "no catalogue"])
def test_a_damaged_backup_is_refused_and_leaves_no_folder(
    kept: Library, tmp_path: Path, part: str
) -> None:
    path = kept.backup(tmp_path / "b.zip").path
    data = path.read_bytes()
    match part:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "no zip":
            path.write_bytes(b"no zip at all")
        case _:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("files/x", "y")
    before = set(tmp_path.iterdir())
    with pytest.raises(LibraryDamaged):
        Library.from_backup(path, tmp_path / "again")
    assert set(tmp_path.iterdir()) == before


def test_a_backup_cannot_write_outside_its_folder(kept: Library, tmp_path: Path) -> None:
    kept.backup(tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    catalogue = tmp_path / "changed.duckdb"
    catalogue.write_bytes(members["library.duckdb"])
    with duckdb.connect(catalogue) as connection:
        connection.execute("UPDATE files SET path = '../../outside.png' WHERE picture = 1")
    members |= {"library.duckdb": catalogue.read_bytes(), "../evil.txt": b"out"}
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = backup._contents(archive)
    with pytest.raises(LibraryDamaged, match="leads out of the library"):
        Library.from_backup(tmp_path / "b.zip", tmp_path / "deep" / "again")
    assert not list(tmp_path.rglob("outside.png")) and not list(tmp_path.rglob("evil.txt"))
    assert not (tmp_path / "deep" / "again").exists()


FULL = """
import json, os, sys
from pathlib import Path
os.environ["SOVGEN_CACHE"] = sys.argv[1] + "/cache"
from index import DiskFull, Library
from tests.index.conftest import new
from tests.index.given import Given
disk = Path(sys.argv[1])
library = Library.create(disk / "library", Given())
library.keep([new(1)])
free = os.statvfs(disk)
(disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - 200_000))
try:
    library.backup(disk / "b.zip")
    said = None
except DiskFull as error:
    said = error.message
print(json.dumps([said, sorted(p.name for p in disk.iterdir())]))
"""


def test_a_full_disk_is_said_and_leaves_no_half_backup(tmp_path: Path) -> None:
    said, names = run_boxed(FULL, tmp_path, 'mount -t tmpfs -o size=20m none "$1"')
    assert said and "room" in said
    assert names == ["ballast", "cache", "library"]
