"""Question: a SELECT over the documented views, as a person writes it, answered from a copy.

The views that it names are copied into memory within one reader's turn. Then the catalogue is let
go, every way to a file is shut and the configuration is locked: however long the question runs, it
holds nobody up, and whatever it tries, there is nothing but the copy to be reached. Reading the
statement first is for clear refusals; and native functions that take addresses are among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index.errors import BadQuery
from index.statement import nodes, reason
from index.views import VIEWS

if TYPE_CHECKING:
    import duckdb

    from index.store import Store

BATCH = 1000
LONGEST = 100_000
_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_SOURCES = {
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "TABLE_FUNCTION",
    "EXPRESSION_LIST",
    "EMPTY",
    "SHOW_REF",
    "PIVOT",
}
_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree"}


@dataclass(frozen=True)
class Reply:
    """The answer to a question: its columns' names, and its rows, a batch at a time."""

    columns: list[str]
    batches: Iterator[list[tuple[object, ...]]]


def answer(store: Store, statement: str) -> Reply:
    """Answer one SELECT. Raises BadQuery, also while rows are taken, and what `Store` raises."""
    with store.beside() as connection:
        for name in views_of(connection, statement):
            connection.execute(f"CREATE TABLE memory.main.{name} AS {VIEWS[name]}")
    with ExitStack() as undo, _complaints():
        undo.callback(connection.close)
        for seal in ("SET enable_external_access = false", "SET lock_configuration = true"):
            connection.execute(seal)
        connection.execute(statement)
        undo.pop_all()
    columns = [column[0] for column in connection.description or []]
    return Reply(columns, _batches(connection))


def views_of(connection: duckdb.DuckDBPyConnection, statement: str) -> list[str]:
    """The views that a statement names. Raises BadQuery unless it is one SELECT over views."""
    tree = list(nodes(_parsed(connection, statement)))
    own = {entry["key"].lower() for node in tree for entry in _ctes(node)}
    named = {_source(node) for node in tree if _is_source(node)} - {""}
    for node in tree:
        if "cte_map" in node and node.get("type") not in _QUERIES:
            raise _bad("it would change something")
    strange = sorted(named - own - set(VIEWS))
    if strange:
        raise _bad(f"there is no view {strange[0]!r}")
    return sorted(named & set(VIEWS))


def _parsed(connection: duckdb.DuckDBPyConnection, statement: str) -> object:
    if len(statement) > LONGEST:
        raise _bad(f"it is longer than {LONGEST:,} characters")
    if "\0" in statement or statement != statement.encode("utf-8", "replace").decode():
        raise _bad("it holds what is no text")
    row = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    try:
        parsed = json.loads(row[0]) if row else {}
    except RecursionError as error:
        raise _bad("it is nested too deep") from error
    if parsed.get("error", True):
        is_other = parsed.get("error_type") == "not implemented"
        raise _bad("it is no SELECT" if is_other else reason(parsed["error_message"]))
    if len(parsed["statements"]) != 1:
        raise _bad("it is more than one statement" if parsed["statements"] else "it is empty")
    return parsed["statements"]


def _ctes(node: dict[str, object]) -> list[dict[str, str]]:
    ctes = node.get("cte_map")
    return ctes["map"] if isinstance(ctes, dict) else []


def _is_source(node: dict[str, object]) -> bool:
    """Whether a node is something that rows come from: only those may be sampled."""
    return "sample" in node and "alias" in node and "class" not in node


def _source(node: dict[str, object]) -> str:
    """The name of the view or of the query's own table that a source is; empty for no name."""
    kind, name = node.get("type"), str(node.get("table_name") or "")
    function = node.get("function")
    called = function.get("function_name") if isinstance(function, dict) else None
    if kind not in _SOURCES or (kind == "SHOW_REF" and name):
        raise _bad(f"{str(kind).lower()} is not among what rows can come from")
    if kind == "TABLE_FUNCTION" and called not in _FUNCTIONS:
        raise _bad(f"the function {called!r} is not among {', '.join(sorted(_FUNCTIONS))}")
    if node.get("schema_name") or node.get("catalog_name"):
        raise _bad(f"there is no view {node.get('schema_name')}.{name}")
    return name.lower() if kind == "BASE_TABLE" else ""


def _batches(connection: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[object, ...]]]:
    with closing(connection), _complaints():
        while rows := connection.fetchmany(BATCH):
            yield rows


@contextmanager
def _complaints() -> Iterator[None]:
    """What DuckDB says of the statement is said of the question."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise _bad(reason(error)) from error


def _bad(reason: str) -> BadQuery:
    return BadQuery(
        f"The question cannot be answered: {reason}.",
        f"Ask one SELECT over these views: {', '.join(VIEWS)}. "
        "Their columns: sovgen sql 'DESCRIBE library'",
    )
