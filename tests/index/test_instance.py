"""DuckDB is started once, and holds a catalogue's file only while somebody uses it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from index import Library, LibraryDamaged, Query, instance
from index.instance import CONFIG, attached
from tests.index.boxes import ROOT
from tests.index.conftest import new
from tests.index.given import Given

FORKS = """
import os, sys
from index import Library, Query
library = Library.open(sys.argv[1])
library.list(Query())
child = os.fork()
if not child:
    os._exit(len(library.list(Query())))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(library.list(Query())))
"""

BARS = """
import sys
from pathlib import Path
import duckdb
from index import instance
ASKED = "SELECT current_setting('enable_progress_bar')"
path = Path(sys.argv[1])
with instance.attached(path, read_only=True) as connection:
    others = connection, instance._instances[str(path)]._root
    print(*(each.execute(ASKED).fetchall() for each in (duckdb.connect(), *others)))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "it's a library.duckdb"
    with attached(path, read_only=False) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    return path


def test_what_is_written_is_in_the_file_and_the_file_is_let_go(path: Path) -> None:
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with duckdb.connect(path, config=CONFIG) as other:
        assert other.execute("FROM t").fetchall() == [(7,)]


def test_what_is_not_committed_is_undone(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), attached(path, read_only=False) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET n = 8")
        raise ZeroDivisionError
    with attached(path, read_only=True) as connection:
        assert connection.execute("FROM t").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{other}')",
        "ATTACH '{other}' AS other",
        "COPY t TO '{other}'",
        "SET enable_external_access = true",
        "SET allowed_paths = ['{other}']",
    ],
)
def test_sql_reaches_no_other_file(path: Path, statement: str) -> None:
    other = path.with_name("other")
    other.write_text("mine")
    with pytest.raises(duckdb.Error), attached(path, read_only=False) as connection:
        connection.execute(statement.format(other=other))
    assert other.read_text() == "mine"


def test_a_link_to_the_file_is_followed(path: Path) -> None:
    link = path.with_name("link.duckdb")
    link.symlink_to(path)
    with attached(link, read_only=False) as connection:
        connection.execute("UPDATE t SET n = 8")
    with attached(path, read_only=True) as connection:
        assert connection.execute("FROM t").fetchall() == [(8,)]


def test_who_only_reads_shares_and_cannot_write(path: Path) -> None:
    with attached(path, read_only=True) as one, attached(path, read_only=True) as two:
        assert one.execute("FROM t").fetchall() == two.execute("FROM t").fetchall() == [(7,)]
        with pytest.raises(duckdb.Error):
            one.execute("UPDATE t SET n = 8")


def test_who_writes_waits_until_nobody_reads(path: Path) -> None:
    order: list[str] = []
    came = threading.Event()

    def write() -> None:
        came.set()
        with attached(path, read_only=False) as connection:
            order.append("write")
            connection.execute("UPDATE t SET n = 8")

    with attached(path, read_only=True) as connection:
        writer = threading.Thread(target=write)
        writer.start()
        assert came.wait(60)
        order.append(f"read {connection.execute('FROM t').fetchall()}")
    writer.join()
    assert order == ["read [(7,)]", "write"]


def test_many_threads_read_at_once(path: Path) -> None:
    found: list[object] = []

    def read() -> None:
        for _ in range(20):
            with attached(path, read_only=True) as connection:
                found.extend(connection.execute("FROM t").fetchall())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(7,)] * 160


def test_no_progress_bar_is_ever_drawn_among_answers(path: Path) -> None:
    """DuckDB draws one where it takes a process for an interactive one, also to let a file go."""
    command = [sys.executable, "-c", BARS, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[(True,)] [(False,)] [(False,)]\n"


def test_temporary_tables_end_with_the_connection(path: Path) -> None:
    for _ in range(2):
        with attached(path, read_only=True) as connection:
            connection.execute("CREATE TEMP TABLE mine AS SELECT 1")


def test_an_instance_that_failed_is_not_used_again(library: Library) -> None:
    library.keep([new(1)])
    whole = library.store.path.read_bytes()
    library.store.path.write_bytes(whole[:5000] + bytes(len(whole) - 5000))
    with pytest.raises(LibraryDamaged):
        library.verify()
    library.store.path.write_bytes(whole)
    assert library.verify() == []


def test_no_more_than_one_stays_without_a_user(tmp_path: Path) -> None:
    libraries = [Library.create(tmp_path / name, Given()) for name in "abc"]
    for _ in range(2):
        assert [library.list(Query()) for library in libraries] == [[], [], []]
        assert len(instance._instances) == 1


def test_a_forked_process_reads_with_one_of_its_own(library: Library) -> None:
    library.keep([new(1), new(2)])
    command = [sys.executable, "-c", FORKS, str(library.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "2 2\n"
