"""Predicate: a condition over the documented columns, as a person writes it, made safe to run.

DuckDB's own parser reads it. It must be one expression, no more: nothing that ends the condition
and begins another clause or statement, no subquery, no window, no parameter. The connection that
runs it can neither write nor reach a file; this file makes the refusal early and readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from index import view
from index.errors import BadQuery
from index.statement import nodes, reason
from index.view import COLUMNS

if TYPE_CHECKING:
    import duckdb

Node = dict[str, Any]

LONGEST = 20_000
_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window",
    "PARAMETER": "a parameter",
    "STAR": "a star",
}
# A condition runs within a reader's turn, and everybody who writes waits for its end.
_WAITING = {"sleep_ms", "pg_sleep", "write_log"}
# Functions of a list and a value that hold where the list has the value; `IN` is read as the first.
_CONTAINING = "contains list_contains list_has array_contains array_has".split()
_LENGTHS = "len length array_length".split()
_MEMBERS = {
    "tags": "SELECT picture FROM tags WHERE tag",
    "sets": "SELECT picture FROM set_members WHERE set_name",
    "colours": "SELECT picture FROM colours WHERE name",
}


def source(connection: duckdb.DuckDBPyConnection, text: str | None, also: Iterable[str]) -> str:
    """What to select from, named `library`, so that a condition means what it does over the view.

    Only the tables of the columns that it names are read, and of those in `also`; all of the view
    where it is not plain which those are. Raises BadQuery unless the text is one condition.
    """
    condition = {} if text is None else check(connection, text)
    named = _columns(condition)
    if named is None:
        return "library"
    columns = sorted(named.union(also))
    narrowed, empty = _narrowed(condition), _empty(condition)
    return f"({view.select(columns=columns, narrowed=narrowed, empty=empty)}) library"


def check(connection: duckdb.DuckDBPyConnection, text: str) -> Node:
    """The condition as DuckDB's parser reads it. Raises BadQuery unless the text is one."""
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
    return condition


def _columns(condition: Node) -> set[str] | None:
    """The columns that a condition names; None where it names anything else."""
    named = set()
    for node in nodes(condition):
        path = node.get("column_names", ["seq"])
        name = path[-1].lower()
        # a function within a schema may be a column's: `prompt.lower()`
        function = node.get("qualified_name", {"path": [""]})["path"]
        is_plain = name in view.EVERY and [p.lower() for p in path[:-1]] in ([], ["library"])
        if not is_plain or len(function) != 1:
            return None
        named.add(name)
    return named


def _narrowed(condition: Node) -> dict[str, str]:
    """For lists that must hold a text: only pictures which have it need their list."""
    found = {}
    for part in _conjuncts(condition):
        if part.get("function_name") not in _CONTAINING:
            continue
        arguments = [a["expression"] for a in part["arguments"]]
        if [a["class"] for a in arguments] != ["COLUMN_REF", "CONSTANT"]:
            continue
        name, literal = arguments[0]["column_names"][-1].lower(), arguments[1]["literal"]
        if name in _MEMBERS and literal.get("kind") == "STRING":
            text = literal["text"].replace("'", "''")
            found[name] = f"picture IN ({_MEMBERS[name]} = '{text}')"
    return found


def _empty(condition: Node) -> set[str]:
    """Lists that must be empty."""
    found = set()
    for part in _conjuncts(condition):
        if part.get("type") == "COMPARE_EQUAL":
            for side, other in ((part["left"], part["right"]), (part["right"], part["left"])):
                found |= {name for name in _MEMBERS if _says_empty(side, other, name)}
    return found


def _says_empty(side: Node, other: Node, name: str) -> bool:
    """Whether `side = other` holds where the list of that name is empty, and only there."""
    if other.get("literal", {}).get("text") == "0" and side.get("function_name") in _LENGTHS:
        arguments = [a["expression"] for a in side["arguments"]]
        return len(arguments) == 1 and _is_column(arguments[0], name)
    is_nothing = other.get("function_name") == "list_value" and not other["arguments"]
    return is_nothing and _is_column(side, name)


def _is_column(node: Node, name: str) -> bool:
    return bool(node.get("column_names", [""])[-1].lower() == name)


def _conjuncts(condition: Node) -> Iterator[Node]:
    """The conditions that must all hold."""
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _conjuncts(child)
    else:
        yield condition


def bad(reason: str) -> BadQuery:
    """The error for a predicate, with the columns that it may name."""
    return BadQuery(
        f"The condition cannot be used: {reason}.",
        f"Write one condition over these columns: {', '.join(COLUMNS)}.",
    )


def _parse(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[object, Node]:
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
