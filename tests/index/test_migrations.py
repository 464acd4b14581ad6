"""Migrations: a library of any earlier schema opens with all it held; a step is all or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from index import Library, Query, migrations
from index.migrations import M001, MIGRATIONS
from index.store import CONFIG
from tests.index.given import Given

FILL = """
INSERT INTO encoders VALUES ('{fingerprint}', 'given', '/encoders/given', 16, true, '2026-01-01');
INSERT INTO pictures VALUES
    (1, 'aaaa', 8, 9, 'image/png', 1, '2026-01-01 23:30:00', 60),
    (2, 'bbbb', 8, 9, 'image/png', 1, '2026-01-02 12:00:00', 0);
INSERT INTO files VALUES (1, 'pictures/a.png', NULL, true, true, 'ff', 100, 1);
INSERT INTO makings (picture, newest, producer, prompt, seed)
    VALUES (1, true, 'sovgen', 'a fox', 18446744073709551615);
INSERT INTO tags VALUES (1, 'fox', 'clip', 0.9), (1, 'mine', 'hand', NULL),
    (1, 'fox', 'hand', NULL);
INSERT INTO curation VALUES (1, 5, 'good');
INSERT INTO sets VALUES ('best', false, '2026-01-01');
INSERT INTO set_members VALUES ('best', 1, 1);
INSERT INTO deleted VALUES (2, 'bbbb', '2026-01-03', false);
"""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A library as the first schema left it: only its tables, without any view."""
    for folder in ("pictures", "locks"):
        (tmp_path / folder).mkdir()
    with duckdb.connect(tmp_path / "library.duckdb", config=CONFIG) as connection:
        connection.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
        connection.execute("INSERT INTO meta VALUES ('schema', '1')")
        connection.execute(M001)
        connection.execute(FILL.format(fingerprint=Given().fingerprint))
    return tmp_path


def test_a_library_of_the_first_schema_opens_with_all_that_it_held(first: Path) -> None:
    library = Library.open(first, Given())
    (entry,) = library.list(Query())
    assert (entry.prompt, entry.seed, entry.rating, entry.note) == ("a fox", 2**64 - 1, 5, "good")
    assert (entry.tags, entry.sets) == (("fox", "mine"), ("best",))
    assert entry.added.isoformat() == "2026-01-02T00:30:00+01:00"
    assert [trashed.id for trashed in library.trashed()] == ["bbbb"]
    with library.store.reading() as connection:
        assert migrations.schema(connection) == len(MIGRATIONS)
        assert migrations.is_current(connection)


def test_settings_that_a_later_schema_brought_are_unknown_of_earlier_pictures(first: Path) -> None:
    library = Library.open(first, Given())
    assert library.list(Query())[0].settings == {}
    assert library.list(Query(where="strength > 0")) == []


def test_opening_a_current_library_writes_nothing(library: Library) -> None:
    before = library.store.path.stat().st_mtime_ns
    Library.open(library.root)
    assert library.store.path.stat().st_mtime_ns == before


def test_a_view_of_an_earlier_version_is_laid_anew(library: Library) -> None:
    with library.store.writing() as connection:
        connection.execute("CREATE OR REPLACE VIEW library AS SELECT 1 AS old")
        connection.execute("UPDATE meta SET value = 'old' WHERE key = 'view'")
    assert Library.open(library.root).list(Query(where="steps > 1")) == []


def test_a_migration_that_is_killed_leaves_the_library_as_it_was(first: Path) -> None:
    script = "import sys; from index import Library; Library.open(sys.argv[1])"
    environment = {**os.environ, "SOVGEN_FAULT": "migrating"}
    done = subprocess.run([sys.executable, "-c", script, str(first)], env=environment)
    assert done.returncode == -9
    with duckdb.connect(first / "library.duckdb", config=CONFIG, read_only=True) as connection:
        assert not migrations.is_current(connection)
        with pytest.raises(duckdb.CatalogException):
            connection.execute("FROM library")
    assert len(Library.open(first, Given()).list(Query())) == 1


def test_steps_are_never_taken_twice(library: Library) -> None:
    with library.store.writing() as connection:
        migrations.migrate(connection)
        migrations.migrate(connection)
    assert Library.open(library.root).list(Query()) == []
