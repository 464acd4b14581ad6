"""Rows: pictures straight in the catalogue, without files, for tests of search by the thousand."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index import Library, vectors
from index.catalogue import fill
from index.making import SETTINGS

Rows = NDArray[np.float32]

# One value for every setting that a making may have.
_VALUES: dict[str, object] = {
    "VARCHAR": "abcd",
    "VARCHAR[]": ("a:0.8", "b"),
    "DOUBLE": 0.25,
    "INTEGER": 2,
    "UBIGINT": 2**62,
    "BOOLEAN": False,
}
EVERY_SETTING = {name: _VALUES[kind] for name, kind in SETTINGS.items()}


def id_of(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).digest()
    return b32encode(digest).decode().rstrip("=").lower()


def insert_rows(library: Library, rows: Rows, steps: Sequence[int]) -> list[int]:
    """Pictures with these unit vectors and these steps; returns their numbers."""
    fingerprint = library.encoder.fingerprint
    with library.store.writing() as connection:
        (first,) = connection.execute(
            "SELECT 1 + greatest((SELECT coalesce(max(seq), 0) FROM pictures), "
            "(SELECT coalesce(max(seq), 0) FROM deleted))"
        ).fetchone() or (1,)
        numbers = list(range(first, first + len(rows)))
        fill(
            connection,
            "INSERT INTO pictures SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), 8, 8, "
            "'image/png', 1, '2026-01-01', 0",
            [(n, id_of(n)) for n in numbers],
        )
        fill(
            connection,
            "INSERT INTO makings (picture, newest, producer, steps) "
            "SELECT unnest($1::BIGINT[]), true, 'tests', unnest($2::INTEGER[])",
            list(zip(numbers, steps, strict=True)),
        )
        fill(
            connection,
            "INSERT INTO files SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), NULL, true, "
            "true, 'ff', 1, 1",
            [(n, f"pictures/{n}.png") for n in numbers],
        )
        vectors.insert(connection, fingerprint, dict(zip(numbers, rows, strict=True)))
    return numbers


def unit(rows: NDArray[np.floating]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
