"""Selection: which pictures a query's filters let through.

Deleted pictures are not in the view; pictures of a hidden set show only when that set is asked
for. This file knows nothing of words, vectors or scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index import hiding, predicate, sets
from index.hiding import HIDDEN
from index.names import normal_tag
from index.passing import Passing
from index.query import Query

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray


def passing(connection: duckdb.DuckDBPyConnection, query: Query) -> Passing:
    """The pictures that pass. Raises BadQuery or NoSuchSet."""
    if _filters(query):
        return Passing(_numbers(connection, query, "seq", None))
    return Passing(_withheld(connection), others=True)


def newest(connection: duckdb.DuckDBPyConnection, query: Query) -> NDArray[np.int64]:
    """The numbers of the pictures that pass: a set in its order, else the newest first; k at most.

    Raises BadQuery or NoSuchSet.
    """
    if query.set is not None:
        order = "(SELECT min(position) FROM set_members WHERE picture = seq AND set_name = $name)"
        return _numbers(connection, query, f"{order}, seq", query.k)
    return _numbers(connection, query, "seq DESC", query.k)  # clocks may be wrong; numbers rise


def _filters(query: Query) -> bool:
    plain = (query.where, query.model, query.since, query.until, query.set)
    return bool(query.tags) or any(value is not None for value in plain)


def _withheld(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    """The numbers of the pictures that show only to whoever asks for their set, or not at all."""
    import numpy as np

    found = connection.execute(
        f"SELECT seq FROM deleted WHERE NOT emptied UNION {HIDDEN}"  # noqa: S608 - a constant
    ).fetchnumpy()
    return np.asarray(found["seq"], np.int64)


def _numbers(
    connection: duckdb.DuckDBPyConnection, query: Query, order: str, k: int | None
) -> NDArray[np.int64]:
    import duckdb
    import numpy as np

    source = predicate.source(connection, query.where, _needed(query))
    conditions, values = _conditions(connection, query)
    # the conditions are ours but for the predicate, which was checked to be one expression
    statement = f"SELECT seq FROM {source} WHERE {' AND '.join(conditions)} ORDER BY {order}"  # noqa: S608
    if k is not None:
        statement += f" LIMIT {int(k)}"
    if query.where is None:
        found = connection.execute(statement, values).fetchnumpy()
        return np.asarray(found["seq"], np.int64)
    try:
        found = connection.execute(statement, values).fetchnumpy()
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        raise predicate.failed(error) from error
    return np.asarray(found["seq"], np.int64)


def _needed(query: Query) -> list[str]:
    """The columns that conditions other than the predicate are about."""
    return ["seq", "added", "hidden", *(["model"] if query.model is not None else [])]


def _conditions(
    connection: duckdb.DuckDBPyConnection, query: Query
) -> tuple[list[str], dict[str, object]]:
    conditions: list[str] = []
    values: dict[str, object] = {}
    if query.where is not None:
        conditions.append(f"(\n{query.where}\n)")
    for number, tag in enumerate(query.tags):
        conditions.append(f"seq IN (SELECT picture FROM tags WHERE tag = $tag{number})")  # noqa: S608
        values[f"tag{number}"] = normal_tag(tag)
    for column, value in (("model = $model", query.model), *_dates(query)):
        if value is not None:
            conditions.append(column)
            values[column.partition("$")[2]] = value
    conditions.append(_membership(connection, query, values))
    return conditions, values


def _dates(query: Query) -> tuple[tuple[str, object], ...]:
    return (("added::DATE >= $since", query.since), ("added::DATE <= $until", query.until))


def _membership(
    connection: duckdb.DuckDBPyConnection, query: Query, values: dict[str, object]
) -> str:
    if query.set is None:
        return "NOT hidden"
    name = sets.required(connection, query.set)
    values["name"] = name
    inside = "seq IN (SELECT picture FROM set_members WHERE set_name = $name)"
    return inside if hiding.is_hidden(connection, name) else f"{inside} AND NOT hidden"
