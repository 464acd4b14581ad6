"""Journal and rebuild: from picture files and plain lines the whole library comes again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from index import Library, Query, curate, journal, line, question, remarks, saved
from index.journal import path_of
from index.putback import put_back
from index.refresh import refresh
from index.views import VIEWS
from tests.index.boxes import ROOT
from tests.index.conftest import new, picture, png
from tests.index.given import Given
from tests.index.rows import EVERY_SETTING

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture
def rich(library: Library, tmp_path: Path) -> Library:
    """A library with everything in it that anybody can put there."""
    kept = library.keep(
        [new(n, prompt=f"number {n}", seed=2**63 + n, extra={"loras": ["a"]}) for n in range(8)]
    )
    library.keep([new(9, prompt="begun from another", settings=dict(EVERY_SETTING))])
    library.keep([new(3, prompt="another", made=datetime(2026, 5, 1, 23, 59, tzinfo=INDIA))])
    outside = tmp_path / "outside"
    outside.mkdir()
    for number, name in ((20, "plain.png"), (21, os.fsdecode(b"odd-\xff.png"))):
        (outside / name).write_bytes(png(picture(number)))
    library.add([outside], "in-place")
    picture(2).save(outside / "second file.png", compress_level=0)
    library.add([outside / "second file.png"])
    ids = [entry.id for entry in kept]
    curate.tag(library, ids[:3], ["mine", "zwei Wörter"])
    curate.untag(library, ids[:1], ["mine"])
    (given,) = [e for e in library.list(Query(k=None)) if e.id == ids[1]]
    by_encoder = next(tag for tag in given.tags if tag not in ("mine", "zwei wörter"))
    curate.untag(library, ids[1:2], [by_encoder])
    curate.rate(library, ids[1:4], 4)
    curate.note(library, [ids[2]], 'first line\nsecond: "quoted" 🦊')
    curate.caption(library, [ids[2], ids[3]], "ein Fuchs, schlafend")
    for name in ("order", "gone", "secret"):
        curate.new_set(library, name)
    curate.add_to_set(library, "order", [ids[4], ids[2], ids[5]])
    curate.remove_from_set(library, "order", [ids[2]])
    curate.add_to_set(library, "secret", [ids[6]])
    curate.hide_set(library, "secret")
    curate.delete_set(library, "gone")
    saved.save_search(library, "foxes", Query("fox", where="rating > 3", k=7))
    saved.save_search(library, "foxes", Query("fox", k=9))
    library.delete([ids[5], ids[7]])
    library.empty_trash()
    library.delete([ids[0], ids[4]])
    library.restore([ids[4]])
    assert library.verify() == []
    return library


QUERIES = (
    Query("fox", k=None, everything=True),
    Query("fox", k=None, everything=True, mode="pixels"),
    Query("number", where="rating = 4", k=3),
    Query("number 2::2 quoted::-0.5", mode="words", k=None),
    Query("zwei Wörter", tags=("mine",), everything=True),
    Query("anything", set="order", everything=True),
    Query("anything", set="secret", everything=True),
)
# Numbers may be given anew, a copied file has another time, and the last bits of a tag's score
# depend on how many pictures were looked at together.
VIEWS_OF_ALL = dict.fromkeys(VIEWS, "*") | {
    "library": "* EXCLUDE (seq)",
    "files": "* EXCLUDE (modified)",
    "tags": "* EXCLUDE (score)",
}


def everything(library: Library) -> dict[str, Any]:
    """All that a library tells, and what it finds; only numbers may be given anew."""
    with library.store.reading() as connection:
        told = remarks.of_everything(connection)
        tables = {
            query: connection.execute(query).fetchall()
            for query in (
                "SELECT * EXCLUDE (seq) FROM library ORDER BY id",
                "SELECT id, tag, source, round(score, 4) FROM tags JOIN pictures ON seq = picture "
                "ORDER BY ALL",
                "SELECT id, rank, name, hex, share FROM colours JOIN pictures ON seq = picture "
                "ORDER BY ALL",
                "SELECT id, fingerprint, l.kind FROM looks l JOIN pictures ON seq = picture "
                "ORDER BY id",
                "SELECT id, path, raw_path, inside, main, file_sha256, bytes FROM files "
                "JOIN pictures ON seq = picture ORDER BY ALL",
                "SELECT id, word FROM words JOIN pictures ON seq = picture ORDER BY ALL",
            )
        }
    sets = curate.list_sets(library, hidden=True)
    known = {None, *(each.name for each in sets)}
    asked = {query: library.search(query) for query in QUERIES if query.set in known}
    listed = [entry.id for entry in library.list(Query(k=None))]
    return {
        "told": told,
        "tables": tables,
        "found": {q: [(h.entry.id, h.score) for h in a.hits] for q, a in asked.items()},
        "like": [h.entry.id for h in library.search(Query(like=(listed[0],))).hits],
        "listed": listed,
        "sets": [(s, [e.id for e in curate.show_set(library, s.name)]) for s in sets],
        "searches": saved.list_searches(library),
        "trash": library.trashed(),
        "thumbnails": sorted(p.name for p in (library.root / "thumbs").rglob("*.webp")),
        "questions": [
            sorted(map(repr, rows))
            for view, columns in VIEWS_OF_ALL.items()
            for rows in question.answer(library.store, f"SELECT {columns} FROM {view}").batches
        ],
        "counts": (library.info().pictures, library.info().trashed),
    }


def test_a_rebuilt_library_tells_and_finds_the_very_same(rich: Library) -> None:
    before = everything(rich)
    rich.store.path.unlink()
    shutil.rmtree(rich.root / "vectors")
    shutil.rmtree(rich.root / "thumbs")
    progress: list[tuple[int, int]] = []
    done = Library.rebuild(rich.root, Given(), lambda *p: progress.append(p))
    assert (done.pictures, done.failed) == (9, []) and progress[-1] == (10, 10)
    again = Library.open(rich.root, Given())
    assert everything(again) == before
    assert again.verify() == []
    assert [t.id for t in again.trashed()] == [t.id for t in rich.trashed()]


def test_an_old_catalogue_is_set_aside(rich: Library) -> None:
    before, old = everything(rich), rich.store.path.read_bytes()
    Library.rebuild(rich.root, Given())
    assert everything(Library.open(rich.root, Given())) == before
    assert (rich.root / "library.replaced-1.duckdb").read_bytes() == old


@pytest.mark.parametrize("fault", ["committed:3", "replacing", "committing:4"])
def test_a_killed_rebuild_goes_on(rich: Library, fault: str) -> None:
    before = everything(rich)
    script = (
        "import sys; from index import Library, rebuild; from tests.index.given import Given\n"
        "rebuild.BATCH = 2; Library.rebuild(sys.argv[1], Given())"
    )
    environment = {**os.environ, "SOVGEN_FAULT": fault}
    command = [sys.executable, "-c", script, str(rich.root)]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9
    encoder = Given()
    Library.rebuild(rich.root, encoder)
    assert everything(Library.open(rich.root, Given())) == before


def test_without_a_journal_the_pictures_are_still_there(rich: Library) -> None:
    ids = {entry.id for entry in rich.list(Query(k=None)) if rich.root in entry.path.parents}
    path_of(rich.root).unlink()
    rich.store.path.unlink()
    Library.rebuild(rich.root, Given())
    again = Library.open(rich.root, Given())
    assert ids <= {entry.id for entry in again.list(Query(k=None))}
    assert [t.id for t in again.trashed()] == [t.id for t in rich.trashed()]


def test_each_line_is_plain_json_about_one_thing(rich: Library) -> None:
    curate.delete_set(rich, "order")
    lines = path_of(rich.root).read_text().splitlines()
    for one in lines:
        assert len({"picture", "set", "search", "written"} & json.loads(one).keys()) == 1
    assert path_of(rich.root).stat().st_mode & 0o777 == 0o600
    assert {"set": "order", "gone": True} in map(line.said, map(str.encode, lines))


def test_a_killed_writer_s_line_is_written_by_the_next(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    script = (
        "import sys; from index import Library, curate\n"
        "curate.rate(Library.open(sys.argv[1]), [sys.argv[2]], 5)"
    )
    environment = {**os.environ, "SOVGEN_FAULT": "committed"}
    command = [sys.executable, "-c", script, str(library.root), entry.id]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9
    assert journal.read(library.root)["picture", entry.id].get("rating") is None
    assert library.verify() == []  # it is known that a line is still to follow
    curate.tag(library, [entry.id], ["x"])
    assert journal.read(library.root)["picture", entry.id]["rating"] == 5


def test_a_line_that_was_cut_short_spoils_no_other(library: Library) -> None:
    entry = library.keep([new(1)])[0]
    with path_of(library.root).open("ab") as file:
        file.write(b'{"picture": "' + entry.id.encode())
    curate.rate(library, [entry.id], 3)
    assert journal.read(library.root)["picture", entry.id]["rating"] == 3


def test_a_journal_that_tells_something_else_is_named_and_mended(rich: Library) -> None:
    path = path_of(rich.root)
    entry = rich.list(Query())[0]
    journal.append(path, [{"picture": entry.id, "added": entry.added.isoformat(), "rating": 1}])
    assert [(d.kind, d.where) for d in rich.verify()] == [("journal", entry.id)]
    before = everything(rich)
    assert Library.repair(rich.root, Given()).left == []
    assert everything(rich) == before
    assert len(path.read_text().splitlines()) == 9 + 2 + 1 + 1  # and the number


def test_what_is_told_of_pictures_that_are_away_is_kept(rich: Library) -> None:
    remark = {"picture": "a" * 52, "added": "2026-01-01T00:00:00+00:00", "rating": 5}
    journal.append(path_of(rich.root), [remark])
    assert rich.verify() == []
    Library.rebuild(rich.root, Given())
    assert journal.read(rich.root)["picture", "a" * 52] == remark


def test_no_flipped_bit_of_the_journal_stops_what_reads_it(rich: Library) -> None:
    whole, chance = path_of(rich.root).read_bytes(), random.Random(5)
    with pytest.raises(ZeroDivisionError), rich.store.writing() as connection:
        for _ in range(20):
            data = bytearray(whole)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path_of(rich.root).write_bytes(data)
            put_back(connection, journal.read(rich.root))
        raise ZeroDivisionError  # nothing of this is kept


DAMAGED = (
    ('"added": "2', '"added": "z'),
    ('"producer"', '"pro$ucer"'),
    ('"path"', '"pa|h"'),
    ('"rating": 4', '"rating": 6'),
    ('"order": 1', '"order": "1"'),
    ('"created"', '"crea\ted"'),
    ('"mine"', "7"),
)


def test_lines_that_cannot_be_read_are_told(rich: Library) -> None:
    """Also those without a checksum, as a person may have written them."""
    whole = re.sub(', "crc32": "[0-9a-f]{8}"', "", path_of(rich.root).read_text())
    path_of(rich.root).write_text(whole)
    assert "crc32" not in whole and journal.damaged(rich.root) == 0
    for there, damaged in DAMAGED:
        path_of(rich.root).write_text(whole.replace(there, damaged))
        assert there in whole and journal.damaged(rich.root) > 0, there
    lines = journal.damaged(rich.root)
    assert Library.rebuild(rich.root, Given()).unread == lines
    assert Library.open(rich.root, Given()).verify() == []


def turn_a_byte(log: bytearray) -> None:
    log[len(log) // 4] ^= 0xFF  # within the first record, so that its sum is wrong


def cut_short(log: bytearray) -> None:
    del log[len(log) // 2 :]  # which DuckDB takes for a write under way, and passes over


@pytest.mark.parametrize("damage", [turn_a_byte, cut_short])
def test_a_lost_log_is_made_good_from_the_journal(
    library: Library, damage: Callable[[bytearray], None]
) -> None:
    """The journal was written before the log was emptied, so it may know more."""
    kept = library.keep([new(1), new(2)])
    script = (
        "import sys; from index import Library, curate\n"
        "curate.rate(Library.open(sys.argv[1]), sys.argv[2:], 5)"
    )
    environment = {**os.environ, "SOVGEN_FAULT": "journaled"}
    command = [sys.executable, "-c", script, str(library.root), kept[0].id]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9
    log = library.store.path.with_name("library.duckdb.wal")
    data = bytearray(log.read_bytes())
    damage(data)
    log.write_bytes(data)
    assert Library.repair(library.root, Given()).left == []
    assert library.get(kept[0].id).rating == 5


def test_a_journal_that_cannot_be_written_does_not_undo_what_is_committed(
    library: Library,
) -> None:
    entry = library.keep([new(1)])[0]
    path = path_of(library.root)
    path.rename(path.with_name("aside"))
    path.mkdir()  # nothing can be appended to it
    curate.rate(library, [entry.id], 4)
    assert library.get(entry.id).rating == 4
    path.rmdir()
    path.with_name("aside").rename(path)
    curate.tag(library, [entry.id], ["x"])
    assert journal.read(library.root)["picture", entry.id]["rating"] == 4
    assert library.verify() == []


def test_a_snapshot_of_a_rebuilt_library_is_its_own(rich: Library) -> None:
    refresh(rich.store, force=True)
    Library.rebuild(rich.root, Given())
    assert "8 vectors" in Library.open(rich.root).info().index  # one of nine is hidden
