"""Predicate: a condition over the documented columns, as a person writes it, made safe to run.

DuckDB's own parser reads it. It must be one expression, no more: nothing that ends the condition
and begins another clause or statement, no subquery, no window, no parameter. The connection that
runs it can neither write nor reach a file; this file makes the refusal early and readable.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from index.errors import BadQuery
from index.statement import nodes, reason
from index.view import COLUMNS

if TYPE_CHECKING:
    import duckdb

LONGEST = 20_000
_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window",
    "PARAMETER": "a parameter",
    "STAR": "a star",
}
# A condition runs within a reader's turn, and everybody who writes waits for its end.
_WAITING = {"sleep_ms", "pg_sleep", "write_log"}


def check(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Raise BadQuery unless the text is one condition."""
    if not text.strip():
        raise bad("it is empty")
    if "\0" in text:
        raise bad("it holds a NUL")
    if len(text) > LONGEST:
        raise bad(f"it is longer than {LONGEST:,} characters")
    envelope, condition = _parse(connection, text)
    for node in nodes(condition):
        if node.get("class") in _REFUSED:
            raise bad(f"it holds {_REFUSED[str(node['class'])]}")
        if (name := str(node.get("function_name")).lower()) in _WAITING:
            raise bad(f"it calls {name}")
    # whatever is left when the condition is taken out must be what a plain `true` leaves
    if envelope != _parse(connection, "true")[0]:
        raise bad("it is more than one condition")


def bad(reason: str) -> BadQuery:
    """The error for a predicate, with the columns that it may name."""
    return BadQuery(
        f"The condition cannot be used: {reason}.",
        f"Write one condition over these columns: {', '.join(COLUMNS)}.",
    )


def _parse(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[object, object]:
    """The statement without its condition, and the condition."""
    statement = f"SELECT 1 FROM library WHERE (\n{text}\n)"  # noqa: S608 - parsed, never run
    row = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    try:
        parsed = json.loads(row[0]) if row else {}
    except RecursionError as error:
        raise bad("it is nested too deep") from error
    if parsed.get("error", True):
        raise bad(reason(parsed.get("error_message", "")))
    statements = parsed["statements"]
    condition = statements[0]["node"].pop("where_clause", None)
    return _without_places(statements), condition


def _without_places(node: object) -> object:
    if isinstance(node, dict):
        return {k: _without_places(v) for k, v in node.items() if "location" not in k}
    return [_without_places(item) for item in node] if isinstance(node, list) else node


def failed(error: Exception) -> BadQuery:
    """The error for a condition that parsed but could not be run."""
    return bad(reason(error))
