"""Columns: values on their way into DuckDB and out of it, whole columns at a time.

Times are kept in UTC with the minutes that the zone was ahead; they leave as they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def fill(
    connection: duckdb.DuckDBPyConnection, statement: str, rows: Sequence[Sequence[object]]
) -> None:
    """Run an insert whose parameters are whole columns; for many rows one statement is enough."""
    if rows:
        connection.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def split_zone(moment: datetime) -> tuple[datetime, int]:
    """UTC without a zone, and the minutes that the zone lay ahead of it."""
    local = moment.astimezone() if moment.tzinfo is None else moment
    offset = local.utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset is not None else 0
    return local.astimezone(UTC).replace(tzinfo=None), minutes


def zoned(moment: object, offset: object) -> datetime | None:
    """A local time without a zone, and the minutes of its zone, as one time; None for none."""
    if not isinstance(moment, datetime) or not isinstance(offset, int):
        return None
    return moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
