"""Much is read in turns of one question, between which others write."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from index import Library, Query, agreement, curate, looks, snapshot
from index.refresh import refresh
from index.verify import verify
from tests.index.boxes import ROOT
from tests.index.conftest import new

if TYPE_CHECKING:
    from index.looks import Look

RATES = "import sys; from index import Library, curate; curate.rate(Library.open(sys.argv[1]), "


@pytest.fixture
def one_question_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_TURN_S", 0.0)


@pytest.fixture
def kept(library: Library) -> Library:
    library.keep([new(number) for number in range(6)])
    return library


def writer(library: Library, id: str, rating: int) -> subprocess.Popen[bytes]:
    """A process that rates a picture, and has drawn its ticket by now."""
    command = [sys.executable, "-c", f"{RATES}[{id!r}], {rating})", str(library.root)]
    process = subprocess.Popen(command, cwd=ROOT)
    tickets = library.root / "locks"
    while process.poll() is None and not list(tickets.glob("*-w")):
        pass
    assert process.poll() is None
    return process


def test_looks_are_taken_in_order_each_before_what_comes_after_it(kept: Library) -> None:
    seen: list[str] = []

    def named(name: str, *more: Look) -> Look:
        def look(connection: duckdb.DuckDBPyConnection) -> Sequence[Look]:
            seen.append(name)
            return more

        return look

    looks.take(kept.store, [named("a", named("b", named("c")), named("d")), named("e")])
    assert seen == ["a", "b", "c", "d", "e"]


def test_who_writes_waits_for_one_question_and_no_more(
    kept: Library, one_question_a_turn: None
) -> None:
    id = kept.list(Query())[0].id
    waiting: list[subprocess.Popen[bytes]] = []
    seen: list[int | None] = []

    def look(connection: duckdb.DuckDBPyConnection) -> Sequence[Look]:
        row = connection.execute("SELECT max(rating) FROM curation").fetchone()
        seen.append(row[0] if row else None)
        if len(seen) < 4:
            waiting.append(writer(kept, id, rating=len(seen)))
        return ()

    looks.take(kept.store, [look] * 4)
    assert seen == [None, 1, 2, 3]
    assert [process.wait() for process in waiting] == [0, 0, 0]


def test_what_is_written_between_two_parts_is_no_difference(
    kept: Library, one_question_a_turn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_PART", 1)
    ids = [entry.id for entry in kept.list(Query())]
    reading, ratings = kept.store.reading, iter(range(1, 6))

    @contextmanager
    def write_first() -> Iterator[duckdb.DuckDBPyConnection]:
        if (rating := next(ratings, None)) is not None:
            curate.rate(kept, ids, rating)
        with reading() as connection:
            yield connection

    monkeypatch.setattr(kept.store, "reading", write_first)
    assert agreement.differing(kept.store) == []
    assert next(ratings, None) is None  # there were as many turns
    curate.new_set(kept, "late")
    assert verify(kept.store) == []


def test_others_write_while_the_bytes_of_a_snapshot_are_read(
    kept: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(kept.store, force=True)
    id, sha256_of = kept.list(Query())[0].id, snapshot.sha256_of
    written: list[int] = []

    def read(path: Path, *, fresh: bool = False) -> str:
        written.append(writer(kept, id, rating=4).wait())
        return sha256_of(path, fresh=fresh)

    monkeypatch.setattr(snapshot, "sha256_of", read)
    assert verify(kept.store) == [] and written == [0]
    assert kept.get(id).rating == 4


def test_others_write_while_a_catalogue_goes_into_a_backup(
    kept: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, write = kept.list(Query())[0].id, zipfile.ZipFile.write
    written: list[int] = []

    def slowly(archive: zipfile.ZipFile, path: Path, name: str) -> None:
        written.append(writer(kept, id, rating=4).wait())
        write(archive, path, name)

    monkeypatch.setattr(zipfile.ZipFile, "write", slowly)
    made = kept.backup(tmp_path / "b.zip")
    assert set(written) == {0} and kept.get(id).rating == 4
    assert Library.from_backup(made.path, tmp_path / "again").get(id).rating is None
