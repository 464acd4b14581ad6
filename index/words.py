"""Words: what people wrote of each picture, split so that a search finds it at once.

A derived table, `words`: one row for each different word of a picture's newest prompt, of its tags
and of its note and caption. It changes in the transaction that changes those, by `renew`; `stale`
proves it.
A word is a run of letters, digits, marks and pictographs, in lower case and without accents; the
weights and the breaks that a prompt is written with (see `index.prompt`) are none.
This file knows nothing of queries or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Splitting text is DuckDB's business on both sides, so that a query's words meet the pictures'.
_SPLIT = r"string_split_regex(strip_accents(lower({text})), '[^\pL\pM\pN\p{{So}}]+')"
_PLAIN = r"regexp_replace(prompt, ':\s*[+-]?[0-9.]+\s*[)\]]|\bBREAK\b', ' ', 'g')"
_TEXTS = """
SELECT picture, {plain} AS text FROM makings WHERE newest AND {condition}
UNION ALL SELECT picture, tag FROM tags WHERE {condition}
UNION ALL SELECT picture, note FROM curation WHERE {condition}
UNION ALL SELECT picture, caption FROM curation WHERE {condition}
"""


def split(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """The different words of a text, in the order in which they first come."""
    # what a command line hands over need not be text
    plain = text.encode("utf-8", "replace").decode()
    row = connection.execute(f"SELECT {_SPLIT.format(text='?::VARCHAR')}", [plain]).fetchone()
    return [word for word in dict.fromkeys(row[0] if row else ()) if word]


def renew(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int] | None = None) -> None:
    """Bring the words of these pictures, or of all, to what is written of them now.

    Those named count as unlearnt then (see `index.meanings`). Inside the caller's transaction.
    """
    condition = "true" if numbers is None else "picture IN $numbers"
    values = None if numbers is None else {"numbers": list(numbers)}
    connection.execute(f"DELETE FROM words WHERE {condition}", values)  # noqa: S608
    connection.execute(f"INSERT INTO words {_derived(condition)} ORDER BY picture", values)
    if numbers is not None:
        connection.execute("INSERT INTO unlearnt SELECT unnest($numbers::BIGINT[])", values)


def stale(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """The numbers of the pictures whose rows are not what is written of them."""
    derived = _derived("true")
    rows = connection.execute(
        f"SELECT DISTINCT picture FROM ((FROM words EXCEPT ALL ({derived})) UNION ALL "  # noqa: S608
        f"(({derived}) EXCEPT ALL FROM words)) ORDER BY picture"
    ).fetchall()
    return [number for (number,) in rows]


def _derived(condition: str) -> str:
    texts = _TEXTS.format(condition=condition, plain=_PLAIN)
    split = f"SELECT DISTINCT picture, unnest({_SPLIT.format(text='text')}) AS word FROM ({texts})"  # noqa: S608
    return f"SELECT picture, word FROM ({split}) WHERE word <> ''"  # noqa: S608
