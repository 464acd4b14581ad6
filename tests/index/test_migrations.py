"""Migrations: a library of any earlier schema opens with all it held; a step is all or nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
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


# Libraries of these steps are about: what one of them got wrong, a later one mends.
TAKEN = """
0523b2525ce429cc 989cab940f666e64 4219bb3581e9b2c8 92598e6f94920e38 84dd7d14c497aab4
a470a8c8a7c580c4 47244a18511f3117 b8fb87bd49d0f6ef 2d08ca014613569e a8d4d506d5aaf1b8
3ca06565657b0bb9 457aa63fa4ee4447
""".split()


def lay(folder: Path, steps: int) -> Path:
    """A library as so many steps left it: only its tables, without any view."""
    for name in ("pictures", "locks"):
        (folder / name).mkdir(parents=True)
    with duckdb.connect(folder / "library.duckdb", config=CONFIG) as connection:
        connection.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
        connection.execute("INSERT INTO meta VALUES ('schema', ?)", [str(steps)])
        connection.execute(M001)
        connection.execute(FILL.format(fingerprint=Given().fingerprint))
        for step in MIGRATIONS[1:steps]:
            connection.execute(step)
    return folder


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return lay(tmp_path / "first", 1)


def test_no_step_that_was_taken_is_ever_edited() -> None:
    digests = [hashlib.sha256(step.encode()).hexdigest()[:16] for step in MIGRATIONS]
    assert digests[: len(TAKEN)] == TAKEN


def test_a_library_of_any_schema_opens_as_one_of_the_first(first: Path, tmp_path: Path) -> None:
    expected = Library.open(first, Given()).list(Query())[0]
    for steps in range(2, len(MIGRATIONS) + 1):
        library = Library.open(lay(tmp_path / str(steps), steps), Given())
        (entry,) = library.list(Query())
        assert replace(entry, path=expected.path) == expected, steps
        assert [trashed.id for trashed in library.trashed()] == ["bbbb"]
        with library.store.reading() as connection:
            assert migrations.is_current(connection)
            words = connection.execute("SELECT word FROM words WHERE picture = 1 ORDER BY ALL")
            assert [word for (word,) in words.fetchall()] == ["a", "fox", "good", "mine"]


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
