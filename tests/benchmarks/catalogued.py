"""Catalogued: a library whose catalogue is as full as a real one's, laid in minutes by SQL.

Every picture has a file on record, a making with a prompt, a look, five tags and colours, and the
vector it is given; no picture file is written. Knows nothing of what is measured on it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from index import Library, vectors, words

BATCH = 20_000
_THINGS = ["fox", "cat", "castle", "tree", "ship", "robot", "mountain", "apple"]
_GROUNDS = ["snow", "a meadow", "the city", "space", "the sea"]
_COLOURS = ["red", "blue", "green", "white", "black", "golden", "grey"]
_ROWS = (
    # numbers are 1 .. n; ids are hashes, as real ones are, in an alphabet near enough
    """INSERT INTO pictures SELECT n, translate(sha256(n::VARCHAR)[:52], '0189', 'wxyz'), 512, 512,
       'image/png', 1, TIMESTAMP '2026-01-01' + to_seconds(n), 0 FROM numbers""",
    """INSERT INTO files SELECT n, format('pictures/2026/01/01/{}.png', n), NULL, true, true,
       sha256(n::VARCHAR), 300000, n FROM numbers""",
    """INSERT INTO makings (picture, newest, producer, prompt, model, sampler, steps, guidance,
       seed, width, height) SELECT n, true, 'sovgen', format('a {} {} in {} {}',
       $colours[1 + n % 7], $things[1 + n % 8], $grounds[1 + n % 5], n % 997), 'bench', 'ddim',
       n * 7919 % 1000, 7.5, n, 512, 512 FROM numbers""",
    "INSERT INTO looks SELECT n, $fingerprint, 0.2, 'illustration', 0.9 FROM numbers",
    """INSERT INTO tags SELECT n, $things[1 + n % 8], 'clip', 0.5 FROM numbers UNION ALL
       SELECT n, $colours[1 + n % 7], 'clip', 0.4 FROM numbers""",
    """INSERT INTO colours SELECT n, 0, $colours[1 + n % 7], '#aabbcc', 0.6 FROM numbers""",
)


def fill(library: Library, rows: NDArray[np.float32], first: int) -> None:
    """Add pictures with the numbers from `first` on, in one transaction; without their words."""
    fingerprint = library.encoder.fingerprint
    values = {
        "things": _THINGS,
        "grounds": _GROUNDS,
        "colours": _COLOURS,
        "fingerprint": fingerprint,
    }
    with library.store.writing() as connection:
        connection.execute(
            f"CREATE TEMP VIEW numbers AS SELECT unnest(range({first}, {first + len(rows)})) AS n"
        )
        for statement in _ROWS:
            named = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, named)
        for start in range(0, len(rows), BATCH):
            block = rows[start : start + BATCH]
            numbers = range(first + start, first + start + len(block))
            vectors.insert(connection, fingerprint, dict(zip(numbers, block, strict=True)))
        connection.execute("DELETE FROM touched")  # no person said anything of these


def finish(library: Library) -> None:
    """Index the words of all that was added; once, since it is about the whole library."""
    with library.store.writing() as connection:
        words.renew(connection)


def id_of(number: int) -> str:
    """The id of the picture with a number."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()[:52]
    return digest.translate(str.maketrans("0189", "wxyz"))
