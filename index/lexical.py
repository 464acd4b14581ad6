"""Lexical: how much of the words that a query asks for is written of each picture.

A word of the query counts its weight, times how rare it is among the pictures that pass the filters
(inverse document frequency as in BM25); a picture that has it scores that, times how closely it was
met: whole, as a beginning, where no picture has it so, with one typo, or by a word that means much
the same, if someone says which do. A score is the share of
what could be had. How often or where a word stands counts for nothing: prompts are too short for
that to tell. This file knows nothing of vectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from index import words
from index.query import Term

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.passing import Passing

    Numbers = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Kin = Callable[[Sequence[str]], Sequence["Meeting"]]

WHOLE, BEGINNING, TYPO = 1.0, 0.8, 0.6
SHORTEST_BEGINNING = 3  # letters, below which a beginning says too little
SHORTEST_TYPO = 4
# The share that makes a match of a picture, whatever its look: one word with a typo does, half of
# the words do not. Of the judged queries in data/vocabulary, none of made-up words reaches it on
# pictures with prompts, none that is no thing to be pictured, and 13 in 100 of absent things.
STRONG = 0.55
MOST_WORDS = 32  # of one query; what comes after them is not looked for
# Words that say nothing of what a picture shows; a query of nothing else looks for them all the
# same. A small library holds too few texts for rarity alone to tell them.
_FUNCTION_WORDS = frozenset(
    "a an and are as at by for from in into is it its of on or over that the their this to under "
    "with without".split()
)
# Scripts that put no space between words: there a word may begin anywhere in a run.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# The different words first: comparing each row's takes five times longer and more.
_KNOWN = "WITH known AS MATERIALIZED (SELECT DISTINCT word FROM words)"
_WITHIN, _STARTS, _IS = "contains(word, {})", "starts_with(word, {})", "word = {}"


@dataclass(frozen=True)
class Meeting:
    """A word of a query, a word of pictures that meets it, and how closely, 0..1.

    proof: how far it shows that a picture is what is looked for, 0..1; as closely, if not said
    """

    asked: str
    word: str
    closeness: float
    proof: float | None = None


@dataclass(frozen=True)
class Lexical:
    """What a query's words find.

    numbers (n,): the pictures with a score above 0, rising
    scores (n,): how much they have of what is looked for, 0..1
    proofs (n,): how far that shows that they are what is looked for, 0..1
    meetings, rows (r, 2): number of a picture, place in `meetings`: why
    """

    numbers: Numbers
    scores: Scores
    proofs: Scores
    meetings: Sequence[Meeting]
    rows: Numbers

    def score(self, number: int) -> float:
        """The score of a picture; 0 where it has none of the words."""
        import numpy as np

        at = int(np.searchsorted(self.numbers, number))
        there = at < len(self.numbers) and int(self.numbers[at]) == number
        return float(self.scores[at]) if there else 0.0

    @cached_property
    def _rising(self) -> Numbers:
        """`rows` by the pictures' numbers."""
        import numpy as np

        return self.rows[np.argsort(self.rows[:, 0], kind="stable")]

    def is_strong(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which of the pictures (m,) have so much of what is looked for that they match."""
        import numpy as np

        return np.isin(numbers, self.numbers[self.proofs >= STRONG])

    def matched(self, number: int) -> dict[str, str]:
        """The words of the query that a picture has, and the closest word that meets each."""
        import numpy as np

        rows = self._rising
        first, end = np.searchsorted(rows[:, 0], [number, number + 1])
        met = [self.meetings[place] for place in rows[first:end, 1]]
        return {m.asked: m.word for m in sorted(met, key=lambda m: (m.closeness, m.word))}


def find(
    connection: duckdb.DuckDBPyConnection,
    terms: Sequence[Term],
    passing: Passing,
    kin: Kin | None = None,
) -> Lexical:
    """The pictures, of those that pass, that have words of the terms.

    A term's weight is that of its words, so that words to stay away from count against a picture.
    kin: gives the written words that mean much the same as the words looked for, if any do
    """
    import numpy as np

    weights = asked_words(connection, terms)
    meetings = list(_as_written(connection, weights))
    rows = _having(connection, meetings, passing)
    met = {meetings[place].asked for place in np.unique(rows[:, 1])}
    lost = [word for word in weights if word not in met and len(word) >= SHORTEST_TYPO]
    looser = list(_mistyped(connection, lost))
    if kin is not None:
        looser += kin([word for word, weight in weights.items() if weight > 0])
    further = _having(connection, looser, passing) + np.array([0, len(meetings)])
    total = passing.among(_count(connection))
    return _scored(weights, [*meetings, *looser], np.concatenate([rows, further]), total)


def asked_words(connection: duckdb.DuckDBPyConnection, terms: Sequence[Term]) -> dict[str, float]:
    """The words that the terms look for, each with its weight, the first ones first."""
    weights: dict[str, float] = {}
    for term in terms:
        for word in words.split(connection, term.text or ""):
            weights[word] = weights.get(word, 0.0) + term.weight
    telling = {word: w for word, w in weights.items() if word not in _FUNCTION_WORDS}
    return {w: weights[w] for w in list(telling or weights)[:MOST_WORDS] if weights[w] != 0}


def _as_written(
    connection: duckdb.DuckDBPyConnection, asked: Mapping[str, float]
) -> Iterator[Meeting]:
    """Words of pictures that are a word asked for, or begin with it."""
    for word, known in _candidates(connection, list(asked)):
        yield Meeting(word, known, WHOLE if known == word else BEGINNING)


def _candidates(
    connection: duckdb.DuckDBPyConnection, asked: Sequence[str]
) -> Iterator[tuple[str, str]]:
    tests = [(word, _test(word)) for word in asked]
    if not tests:
        return
    conditions = " OR ".join(test.format(f"${n}") for n, (_, test) in enumerate(tests, 1))
    known = connection.execute(
        f"{_KNOWN} SELECT word FROM known WHERE {conditions} ORDER BY word",  # noqa: S608
        list(asked),
    ).fetchall()
    for word, test in tests:
        for (other,) in known:
            if _passes(word, other, test):
                yield word, other


def _test(word: str) -> str:
    if _UNSPACED.match(word):
        return _WITHIN
    return _STARTS if len(word) >= SHORTEST_BEGINNING else _IS


def _passes(word: str, other: str, test: str) -> bool:
    if test == _WITHIN:
        return word in other
    return other.startswith(word) if test == _STARTS else word == other


def _mistyped(connection: duckdb.DuckDBPyConnection, lost: Sequence[str]) -> Iterator[Meeting]:
    """Words of pictures that are one letter off: changed, missing, too many, or two swapped."""
    if not lost:
        return
    rows = connection.execute(
        f"{_KNOWN}, lost AS (SELECT unnest(?::VARCHAR[]) AS asked) "  # noqa: S608
        "SELECT asked, word FROM lost JOIN known "
        "ON abs(length(word) - length(asked)) <= 1 AND damerau_levenshtein(word, asked) = 1 "
        "ORDER BY ALL",
        [list(lost)],
    ).fetchall()
    for asked, word in rows:
        yield Meeting(asked, word, TYPO)


def _having(
    connection: duckdb.DuckDBPyConnection, meetings: Sequence[Meeting], passing: Passing
) -> Numbers:
    """Rows (r, 2): a passing picture's number, and the place of a meeting whose word it has."""
    import numpy as np

    if not meetings:
        return np.empty((0, 2), np.int64)
    found = connection.execute(
        "SELECT picture, place FROM words JOIN (SELECT unnest(?::VARCHAR[]) AS word, "
        "unnest(?::BIGINT[]) AS place) USING (word)",
        [[m.word for m in meetings], list(range(len(meetings)))],
    ).fetchnumpy()
    rows = np.stack([found["picture"], found["place"]], axis=1).astype(np.int64)
    return rows[passing.mask(rows[:, 0])]


def _scored(
    weights: Mapping[str, float], meetings: Sequence[Meeting], rows: Numbers, total: int
) -> Lexical:
    """total: how many pictures there are in all that the rows could have spoken of."""
    import numpy as np

    numbers, places = np.unique(rows[:, 0], return_inverse=True)
    columns = {word: column for column, word in enumerate(weights)}
    column_of = np.array([columns[m.asked] for m in meetings], np.int64)
    cells = (places, column_of[rows[:, 1]])
    best = np.zeros((2, len(numbers), len(weights)), np.float32)  # closeness, proof
    for layer, values in enumerate(_values(meetings)):
        np.maximum.at(best[layer], cells, values[rows[:, 1]])
    having = (best[0] > 0).sum(axis=0)
    rarity = np.log1p((total - having + 0.5) / (having + 0.5))
    gains = (np.array(list(weights.values())) * rarity).astype(np.float32)
    wanted = np.maximum(gains, 0).sum()
    scores, proofs = best @ gains / np.maximum(wanted, np.finfo(np.float32).tiny)
    kept = scores > 0
    return Lexical(numbers[kept], scores[kept], proofs[kept], meetings, rows)


def _values(meetings: Sequence[Meeting]) -> tuple[Scores, Scores]:
    """Closeness and proof of each meeting, (m,)."""
    import numpy as np

    close = [m.closeness for m in meetings]
    proof = [m.closeness if m.proof is None else m.proof for m in meetings]
    return np.array(close, np.float32), np.array(proof, np.float32)


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM pictures").fetchone()
    return int(row[0]) if row else 0
