"""A question in SQL is answered from the documented views, and reaches nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from index import BadQuery, Library, curate, question
from index.store import CONFIG, Store
from index.views import VIEWS
from tests.index.conftest import new
from tests.index.given import Given


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Five pictures: two plain, one tagged and in a set, one in a hidden set, one in the trash."""
    library = Library.create(tmp_path_factory.mktemp("question") / "library", Given())
    ids = [e.id for e in library.keep([new(n, prompt=f"prompt {n}", steps=n) for n in range(5)])]
    for place, name in ((2, "shown"), (3, "secret")):
        curate.tag(library, [ids[place]], [f"{name} tag"])
        curate.new_set(library, name)
        curate.add_to_set(library, name, [ids[place]])
    with library.store.writing() as connection:
        connection.execute("UPDATE sets SET hidden = true WHERE name = 'secret'")
    library.delete([ids[4]])
    return library


def rows(library: Library, statement: str) -> list[tuple[object, ...]]:
    reply = question.answer(library.store, statement)
    return [row for batch in reply.batches for row in batch]


def state(root: Path) -> dict[str, bytes]:
    """Every file of a library but its thumbnails, to compare."""
    files = [p for p in root.rglob("*") if p.is_file() and "thumbs" not in p.parts]
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT count(*) FROM library", [(3,)]),
        ("FROM (SELECT prompt FROM library ORDER BY steps)", [(f"prompt {n}",) for n in range(3)]),
        ("SELECT tag FROM tags WHERE source = 'hand'", [("shown tag",)]),
        ("SELECT name, pictures FROM sets", [("shown", 1)]),
        ("SELECT set_name, position FROM set_members", [("shown", 1)]),
        ("SELECT sum(steps) FROM makings JOIN files USING (id) WHERE main", [(3,)]),
        ("WITH few AS (SELECT * FROM library LIMIT 2) SELECT count(*) FROM few", [(2,)]),
        ("SELECT max(n) FROM range(10) r(n), unnest([1, 2])", [(9,)]),
        ("SELECT 1; -- and no more", [(1,)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
    ],
)
def test_the_views_are_asked_in_sql(
    shelf: Library, statement: str, found: list[tuple[object, ...]]
) -> None:
    assert rows(shelf, statement) == found


@pytest.mark.parametrize("name", VIEWS)
def test_hidden_and_deleted_pictures_are_in_no_view(shelf: Library, name: str) -> None:
    with shelf.store.reading() as connection:
        withheld = connection.execute("SELECT id FROM pictures WHERE seq > 3").fetchall()
    told = repr(rows(shelf, f"SELECT * FROM {name}"))
    assert told != "[]" or name == "tags"
    for secret in ("secret", "prompt 3", "prompt 4", *(row[0] for row in withheld)):
        assert secret not in told


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_describes_itself(shelf: Library, name: str) -> None:
    described = [row[0] for row in rows(shelf, f"DESCRIBE {name}")]
    assert described == question.answer(shelf.store, f"SELECT * FROM {name}").columns


WRITING = """
    INSERT INTO library SELECT * FROM library
    WITH gone AS (DELETE FROM library RETURNING *) SELECT * FROM gone
    WITH more AS (INSERT INTO tags VALUES ('a', 'b', 'c', 1) RETURNING *) SELECT * FROM more
    UPDATE library SET prompt = ''
    DELETE FROM library
    DROP TABLE library
    DROP VIEW library
    CREATE TABLE mine (n INT)
    CREATE MACRO m() AS 1
    ALTER TABLE library ADD COLUMN n INT
    TRUNCATE library
    CHECKPOINT
    VACUUM
    BEGIN
    PREPARE p AS SELECT 1
"""
REACHING = """
    ATTACH '{root}/library.duckdb' AS again
    ATTACH ':memory:' AS again
    USE catalogue
    COPY library TO '{out}'
    COPY (SELECT 1) TO '{out}'
    COPY library FROM '/etc/passwd'
    EXPORT DATABASE '{out}'
    IMPORT DATABASE '{out}'
    SELECT * FROM read_csv('/etc/passwd')
    SELECT * FROM read_text('{root}/library.duckdb')
    SELECT * FROM read_blob('/etc/passwd')
    SELECT * FROM glob('/etc/*')
    SELECT * FROM '/etc/passwd'
    SELECT * FROM "{root}/pictures/a.csv"
    SELECT * FROM query('SELECT 1')
    SELECT * FROM query_table('pictures')
    SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
    SELECT * FROM arrow_scan(1, 2, 3)
    SELECT * FROM pandas_scan(1)
    SELECT * FROM duckdb_settings()
    SELECT * FROM duckdb_tables
    SELECT * FROM pragma_database_list
    SELECT * FROM information_schema.tables
    SELECT * FROM sqlite_master
    SELECT * FROM pictures
    SELECT * FROM curation
    SELECT * FROM catalogue.pictures
    SELECT * FROM main.library
    SELECT getenv('HOME')
    PRAGMA database_list
    PRAGMA table_info('library')
    INSTALL httpfs
    LOAD json
    SET enable_external_access = true
    RESET lock_configuration
    CALL pragma_version()
    CALL checkpoint()
    SELECT * FROM read_duckdb('{root}/library.duckdb')
    SELECT * FROM main.read_text('/etc/passwd')
    SELECT * FROM system.main.read_text('/etc/passwd')
    SELECT (SELECT content FROM read_text('/etc/passwd'))
    SELECT 1 FROM library WHERE EXISTS (FROM read_text('/etc/passwd'))
    SELECT 1 FROM library ORDER BY (SELECT size FROM read_blob('/etc/passwd'))
    WITH x AS (FROM glob('/etc/*')) FROM x
    WITH RECURSIVE x AS (SELECT '' a UNION ALL SELECT content FROM read_text('/etc/passwd')) FROM x
    FROM library, LATERAL (FROM read_text(library.path))
    SELECT 1 UNION ALL SELECT size FROM read_blob('/etc/passwd')
    FROM 'https://example.org/x.parquet'
    FROM read_parquet('s3://bucket/x')
    FROM read_json_auto('/etc/passwd')
    PIVOT '/etc/passwd' ON a USING count(*)
    SUMMARIZE '/etc/passwd'
    DESCRIBE '/etc/passwd'
    DESCRIBE pictures
    SUMMARIZE curation
    COPY (SELECT 1) TO '/dev/stdout'
    COPY FROM DATABASE catalogue TO memory
    DETACH catalogue
    DETACH memory
    CREATE SECRET s (TYPE s3)
    SET VARIABLE x = 1
    SET threads = 1
    EXECUTE p
    LOAD '{out}'
    INSTALL httpfs FROM 'http://example.org'
    FORCE INSTALL json
    UPDATE EXTENSIONS
    FROM test_all_types()
    FROM seq_scan('library')
    FROM duckdb_secrets()
    FROM duckdb_logs
    FROM pg_catalog.pg_class
    SHOW TABLES
    EXPLAIN ANALYZE SELECT 1
"""
NOTHING = ["", " ", ";", "-- nothing", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE library"]
WRONG = [
    "SELEC 1",
    "SELECT nothing FROM library",
    "SELECT 1 / 'a'",
    "SELECT $1",
    "SELECT '\0'",
    "SELECT '\udcfc'",
]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("statement", lines(WRITING + REACHING) + NOTHING + WRONG)
def test_all_else_is_refused_in_one_line(shelf: Library, tmp_path: Path, statement: str) -> None:
    before = state(shelf.root)
    with pytest.raises(BadQuery) as caught:
        rows(shelf, statement.format(root=shelf.root, out=tmp_path / "out"))
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.message.startswith("The question cannot be answered: ")
    assert list(tmp_path.iterdir()) == [] and state(shelf.root) == before


def test_no_function_that_gives_rows_is_let_through_but_the_harmless() -> None:
    """Every one that this DuckDB knows, wherever rows can come from."""
    with duckdb.connect(config=CONFIG) as connection:
        known = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type LIKE 'table%'"
        ).fetchall()
        harmless = {"unnest", "range", "generate_series", "json_each", "json_tree"}
        names = {name for (name,) in known} - harmless
        assert len(names) > 80 and {"read_text", "glob", "read_csv", "query"} <= names
        for name in sorted(names):
            for shape in ("FROM {}", "WITH x AS (FROM {}) FROM x", "SELECT (SELECT 1 FROM {})"):
                with pytest.raises(BadQuery):
                    question.views_of(connection, shape.format(f"{name}('x')"))


# A scan of an address would end this process: that is why reading the statement comes first.
@pytest.mark.parametrize("statement", [s for s in lines(WRITING + REACHING) if "_scan(" not in s])
def test_what_slips_through_the_reading_finds_nothing_to_reach(
    shelf: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(question, "views_of", lambda *_: list(VIEWS))
    monkeypatch.chdir(tmp_path)
    before = state(shelf.root)
    try:
        told = repr(rows(shelf, statement.format(root=shelf.root, out=tmp_path / "out")))
    except BadQuery:
        told = ""
    assert not [s for s in ("secret tag", "prompt 3", "root:") if s in told]
    assert list(tmp_path.iterdir()) == [] and state(shelf.root) == before


def test_a_long_answer_comes_in_batches_and_holds_nobody_up(shelf: Library) -> None:
    reply = question.answer(shelf.store, "SELECT * FROM range(2500)")
    first = next(reply.batches)
    Store(shelf.root, wait_s=5).upgrade()
    with Store(shelf.root, wait_s=5).writing() as connection:
        connection.execute("UPDATE curation SET note = note")
    assert [len(first), *map(len, reply.batches)] == [1000, 1000, 500]


def test_no_bar_is_drawn_into_an_answer(shelf: Library) -> None:
    """DuckDB draws one on stdout, among the rows, once a statement takes two seconds."""
    asked = "SELECT current_setting('enable_progress_bar')"
    assert rows(shelf, asked) == [(False,)]
    with shelf.store.reading() as connection:
        assert connection.execute(asked).fetchall() == [(False,)]


def test_a_failure_in_the_middle_is_told(shelf: Library) -> None:
    with pytest.raises(BadQuery, match="Could not convert"):
        rows(shelf, "SELECT CASE WHEN n = 9000 THEN 'x' ELSE '1' END::INT FROM range(9999) r(n)")
