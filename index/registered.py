"""Registered: an encoder as a library remembers it, and whether one at hand is that encoder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import meanings, vectors
from index.bundled import BUNDLED
from index.errors import EncoderMismatch, LibraryDamaged

if TYPE_CHECKING:
    import duckdb

    from index.encoder import Encoder


@dataclass(frozen=True)
class Registered:
    """The encoder that a library's vectors come from.

    source: where it is loaded from; width: numbers per vector
    """

    fingerprint: str
    name: str
    source: str
    width: int

    @property
    def is_there(self) -> bool:
        """Whether a process that was handed none could load it."""
        return self.source == BUNDLED or Path(self.source).is_dir()


def active(connection: duckdb.DuckDBPyConnection) -> Registered:
    """The encoder that answers now."""
    row = connection.execute(
        "SELECT fingerprint, name, source, width FROM encoders WHERE active"
    ).fetchone()
    if row is None:
        raise LibraryDamaged(
            "The library names no encoder.", "Run: sovgen library reembed --encoder sovgen-mini"
        )
    return Registered(*row)


def register(connection: duckdb.DuckDBPyConnection, encoder: Encoder) -> None:
    """Remember an encoder and lay its table of vectors; it answers once it is activated."""
    connection.execute(
        "INSERT OR REPLACE INTO encoders VALUES (?, ?, ?, ?, "
        "coalesce((SELECT active FROM encoders WHERE fingerprint = ?), false), ?)",
        [
            encoder.fingerprint,
            encoder.name,
            encoder.source,
            encoder.width,
            encoder.fingerprint,
            datetime.now(UTC).replace(tzinfo=None),
        ],
    )
    vectors.create_table(connection, encoder.fingerprint, encoder.width)
    meanings.create_table(connection, encoder)


def begin(connection: duckdb.DuckDBPyConnection, encoder: Encoder) -> None:
    """Remember an encoder and let it answer at once: for a catalogue that holds nothing yet."""
    register(connection, encoder)
    activate(connection, encoder.fingerprint)


def activate(connection: duckdb.DuckDBPyConnection, fingerprint: str) -> None:
    """From this transaction on, that encoder's vectors answer."""
    connection.execute("UPDATE encoders SET active = (fingerprint = ?)", [fingerprint])


def require(registered: Registered, encoder: Encoder) -> None:
    """Raise EncoderMismatch unless the encoder is the registered one."""
    if encoder.fingerprint == registered.fingerprint:
        return
    raise EncoderMismatch(
        f"The library's vectors come from {registered.name} ({registered.fingerprint[:8]}), "
        f"not from {encoder.name} ({encoder.fingerprint[:8]}).",
        f"To change over, run: sovgen library reembed --encoder {encoder.source}",
    )
