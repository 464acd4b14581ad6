"""Meanings: which written words mean much the same as a word that is asked for.

`fruit` is to find pictures whose prompt says apple. The active encoder's text tower embeds every
different word that is written of a picture, once, when the picture comes in; a table of its own
keeps the rows, derived and never the truth. A word of a query meets those that lie far nearer to
it than the vocabulary does on the whole: cosines of different encoders, and of plain and special
words, cannot be compared, their distance from the mean in standard deviations can. Pictures of
which something was written since, when no encoder was at hand, stand in `unlearnt`: a question
looks up a few of their words by itself, and `index.upkeep` has them learnt. This file knows nothing
of pictures' vectors, scores or ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from index.lexical import Meeting

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.encoder import Encoder

    Rows = NDArray[np.float32]

MOST_LEARNT = 128  # words in one transaction, so that no writer's turn grows long
MOST_ASKED = 8  # words of one query that are looked for by their meaning
MOST_FRESH = 8  # words that are not learnt yet and that a query embeds beside its own
# Standard deviations above the mean from which a word is near, and how close a meeting and how much
# of a proof each makes. Measured by `python -m tests.benchmarks retrieval`: closer meetings outrank
# the right look of pictures that have no prompt. A word of which the encoder cannot tell whether
# it names anything proves less than `lexical.STRONG`, so that nonsense is ranked but never matches.
NEAR = 3.0
CLOSENESS, CLOSEST = 0.08, 0.5
PROVEN = 4.0  # from where on it proves anything
PROOF, BEST_PROOF, STRANGE_PROOF = 0.125, 0.7, 0.5
_WORDY = r"\pL{2}"
_UNLEARNT = "picture IN (SELECT picture FROM unlearnt)"


def create_table(connection: duckdb.DuckDBPyConnection, encoder: Encoder) -> None:
    """Lay the table of an encoder, unless it stands."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_table(encoder)} "
        f"(word VARCHAR PRIMARY KEY, embedding FLOAT[{int(encoder.width)}] NOT NULL)"
    )


def learn(connection: duckdb.DuckDBPyConnection, encoder: Encoder, *, every: bool = False) -> int:
    """Embed words that the encoder has not met, at most MOST_LEARNT; returns how many.

    every: of all pictures, and not only of the unlearnt ones
    Inside the caller's transaction.
    """
    import numpy as np

    create_table(connection, encoder)
    found = _unmet(connection, encoder, "true" if every else _UNLEARNT, MOST_LEARNT)
    if len(found) < MOST_LEARNT:
        connection.execute("DELETE FROM unlearnt")
    if found:
        column = np.empty(len(found), object)
        column[:] = [np.ascontiguousarray(r, np.float32) for r in encoder.encode_texts(found)]
        connection.register("learnt", {"word": np.array(found, object), "embedding": column})
        try:
            connection.execute(f"INSERT INTO {_table(encoder)} SELECT * FROM learnt")  # noqa: S608
        finally:
            connection.unregister("learnt")
    return len(found)


def is_due(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether words may have come that nobody has learnt."""
    return bool(connection.execute("SELECT 1 FROM unlearnt LIMIT 1").fetchall())


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Let go of words that are written of no picture any more."""
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'meanings_')"
    ).fetchall()
    for (table,) in rows:
        connection.execute(f"DELETE FROM {table} WHERE word NOT IN (SELECT word FROM words)")  # noqa: S608


def near(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, asked: Sequence[str]
) -> list[Meeting]:
    """The written words that are near these in meaning, themselves left out."""
    asked = list(asked)[:MOST_ASKED]
    if not asked or not _is_laid(connection, encoder):
        return []
    return list(_near(connection, encoder, asked))


def _near(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, asked: Sequence[str]
) -> Iterator[Meeting]:
    from index.calibration import calibration_of
    from index.wordbank import word_bank

    bank = word_bank(encoder)
    fresh = _unmet(connection, encoder, _UNLEARNT, MOST_FRESH) if is_due(connection) else []
    both = encoder.encode_texts([*asked, *fresh])
    vectors, unlearnt = both[: len(asked)], both[len(asked) :]
    usual = vectors @ bank.tags.T
    known = bank.sense(vectors) >= calibration_of(encoder).sense_floor
    for word, vector, mean, spread, is_known in zip(
        asked, vectors, usual.mean(axis=1), usual.std(axis=1), known, strict=True
    ):
        best = BEST_PROOF if is_known else STRANGE_PROOF
        floor = float(mean + NEAR * spread)
        beside = zip(fresh, (unlearnt @ vector).tolist(), strict=True)
        found = [(other, cosine) for other, cosine in beside if cosine >= floor]
        for other, cosine in [*_above(connection, encoder, vector, floor), *found]:
            if other != word:
                far = (cosine - float(mean)) / float(spread)
                proof = min(best, PROOF * far) if far >= PROVEN else 0.0
                yield Meeting(word, other, min(CLOSEST, CLOSENESS * far), proof)


def _above(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, vector: Rows, floor: float
) -> list[tuple[str, float]]:
    kind = f"FLOAT[{int(encoder.width)}]"
    return connection.execute(
        f"SELECT word, array_inner_product(embedding, $1::{kind}) AS cosine "  # noqa: S608
        f"FROM {_table(encoder)} WHERE cosine >= $2 ORDER BY word",
        [vector.tolist(), floor],
    ).fetchall()


def _unmet(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, condition: str, most: int
) -> list[str]:
    """Words, at most so many, of the pictures that meet a condition, that are not learnt."""
    rows = connection.execute(
        f"SELECT DISTINCT word FROM words WHERE {condition} AND regexp_matches(word, '{_WORDY}') "  # noqa: S608
        f"AND word NOT IN (SELECT word FROM {_table(encoder)}) ORDER BY word LIMIT {most}"
    ).fetchall()
    return [word for (word,) in rows]


def _is_laid(connection: duckdb.DuckDBPyConnection, encoder: Encoder) -> bool:
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [_table(encoder)]
    ).fetchall()
    return bool(found)


def _table(encoder: Encoder) -> str:
    if not encoder.fingerprint.isalnum():
        raise ValueError(f"{encoder.fingerprint!r} is no fingerprint")
    return f"meanings_{encoder.fingerprint[:16]}"
