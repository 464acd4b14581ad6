"""Catalogue: the rows of pictures, written in one transaction and read back.

Every function works on the connection it is given: the caller's turn, the caller's transaction.
This file opens nothing and touches no picture file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import makings, vectors, view, words
from index.addition import Addition, File, Look
from index.columns import fill as fill
from index.columns import split_zone
from index.entry import COLUMNS, PLACE, Entry, entry_of
from index.errors import AmbiguousId, NoSuchPicture
from index.hiding import HIDDEN

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

SHORTEST_PREFIX = 4
_ENTRY = f"SELECT {', '.join(COLUMNS + PLACE)} FROM ({view.select('picture IN $1')})"  # noqa: S608


@dataclass(frozen=True)
class Holding:
    """A picture that the library holds already.

    files: the paths of its files inside the library, relative, by their sha256
    """

    number: int
    deleted: bool
    files: Mapping[str, str]


def holdings(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, Holding]:
    """What the library holds of these ids, in the trash or out of it."""
    rows = connection.execute(
        "SELECT id, seq, seq IN (SELECT seq FROM deleted) FROM pictures WHERE id IN ?", [list(ids)]
    ).fetchall()
    files = connection.execute(
        "SELECT picture, file_sha256, path FROM files WHERE inside AND picture IN ?",
        [[number for _, number, _ in rows]],
    ).fetchall()
    return {
        id: Holding(number, deleted, {sha: path for owner, sha, path in files if owner == number})
        for id, number, deleted in rows
    }


def resolve(connection: duckdb.DuckDBPyConnection, prefix: str, *, hidden: bool = True) -> int:
    """The number of the one picture whose id begins so. Raises NoSuchPicture or AmbiguousId.

    hidden: whether it may be one that a hidden set holds
    """
    if len(prefix) < SHORTEST_PREFIX:
        raise NoSuchPicture(
            f"{prefix!r} is too short to name a picture.",
            f"Give at least {SHORTEST_PREFIX} characters of its id.",
        )
    rows = connection.execute(
        f"SELECT seq, id, seq IN {HIDDEN} AS concealed FROM pictures "  # noqa: S608 - a constant
        "WHERE starts_with(id, $1) AND seq NOT IN (SELECT seq FROM deleted) "
        "AND ($2 OR NOT concealed) ORDER BY concealed, id LIMIT 4",
        [prefix.lower(), hidden],
    ).fetchall()
    if not rows:
        raise NoSuchPicture(f"No picture's id begins with {prefix!r}.", "See the ids: sovgen list")
    if len(rows) > 1:
        some = ", ".join(id[: len(prefix) + 4] for _, id, concealed in rows[:3] if not concealed)
        told = f": {some}" if some else ""
        raise AmbiguousId(f"Several ids begin with {prefix!r}{told}.", "Give more characters.")
    return int(rows[0][0])


def resolve_all(connection: duckdb.DuckDBPyConnection, prefixes: Iterable[str]) -> list[int]:
    """The numbers of the pictures, each once, in the order given; raises as `resolve`."""
    wanted = list(prefixes)
    # whole ids in one scan, where each beginning takes one of its own
    rows = connection.execute(
        "SELECT id, seq FROM pictures WHERE id IN ? AND seq NOT IN (SELECT seq FROM deleted)",
        [[prefix.lower() for prefix in wanted]],
    ).fetchall()
    whole = dict(rows)
    found = (whole.get(p.lower()) or resolve(connection, p) for p in wanted)
    return list(dict.fromkeys(found))


def entries(
    connection: duckdb.DuckDBPyConnection, root: Path, numbers: Sequence[int]
) -> list[Entry]:
    """The pictures of those numbers, in that order; what is deleted is left out."""
    result = connection.execute(_ENTRY, [list(numbers)])
    names = [column[0] for column in result.description or []]
    found = {row[1]: dict(zip(names, row, strict=True)) for row in result.fetchall()}
    return [entry_of(found[number], root) for number in numbers if number in found]


def insert(
    connection: duckdb.DuckDBPyConnection,
    additions: Sequence[Addition],
    fingerprint: str,
    held: Mapping[str, Holding],
) -> list[int]:
    """Write a batch; a picture that is held gains its file and its making. Returns numbers."""
    numbers = {id: holding.number for id, holding in held.items()}
    next_number = _next_number(connection)
    fresh: dict[int, Addition] = {}
    further: list[Addition] = []
    for addition in additions:
        if addition.id in numbers:
            further.append(addition)
        else:
            numbers[addition.id] = next_number + len(fresh)
            fresh[numbers[addition.id]] = addition
    _insert_pictures(connection, fresh)
    looks = {number: a.look for number, a in fresh.items() if a.look is not None}
    insert_looks(connection, looks, fingerprint)
    _insert_tags(connection, looks)
    _insert_files(connection, [(n, a.file) for n, a in fresh.items() if a.file])
    makings.insert(connection, [(n, a.making) for n, a in fresh.items() if a.making is not None])
    for addition in further:
        if addition.file is not None:
            _add_file(connection, numbers[addition.id], addition.file)
        if addition.making is not None and makings.add(
            connection, numbers[addition.id], addition.making
        ):
            _set_adherence(connection, numbers[addition.id], fingerprint, addition.prompt)
    words.renew(connection, sorted(set(numbers.values())))
    return [numbers[addition.id] for addition in additions]


def _next_number(connection: duckdb.DuckDBPyConnection) -> int:
    """Numbers rise and are never given twice, also not after the trash was emptied."""
    row = connection.execute(
        "SELECT greatest((SELECT coalesce(max(seq), 0) FROM pictures), "
        "(SELECT coalesce(max(seq), 0) FROM deleted)) + 1"
    ).fetchone()
    return int(row[0]) if row else 1


def _insert_pictures(connection: duckdb.DuckDBPyConnection, fresh: Mapping[int, Addition]) -> None:
    fill(
        connection,
        "INSERT INTO pictures SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), "
        "unnest($3::INTEGER[]), unnest($4::INTEGER[]), unnest($5::VARCHAR[]), "
        "unnest($6::INTEGER[]), unnest($7::TIMESTAMP[]), unnest($8::SMALLINT[])",
        [
            (number, a.id, a.width, a.height, a.media, a.frames, *split_zone(a.added))
            for number, a in fresh.items()
        ],
    )
    fill(
        connection,
        "INSERT INTO colours SELECT unnest($1::BIGINT[]), unnest($2::SMALLINT[]), "
        "unnest($3::VARCHAR[]), unnest($4::VARCHAR[]), unnest($5::DOUBLE[])",
        [
            (number, rank, colour.name, colour.hex, colour.share)
            for number, a in fresh.items()
            for rank, colour in enumerate(a.colours)
        ],
    )


def _set_adherence(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    fingerprint: str,
    prompt: NDArray[np.float32] | None,
) -> None:
    """A picture's adherence is to the prompt of its newest making, which has just changed."""
    _, rows = vectors.read(connection, fingerprint, "picture = ?", [number])
    adherence = None if prompt is None or not len(rows) else float(rows[0] @ prompt)
    connection.execute(
        "UPDATE looks SET adherence = ? WHERE picture = ? AND fingerprint = ?",
        [adherence, number, fingerprint],
    )


def insert_looks(
    connection: duckdb.DuckDBPyConnection, looks: Mapping[int, Look], fingerprint: str
) -> None:
    """Write vectors, adherence and kinds by the pictures' numbers; tags are left to the caller."""
    vectors.insert(connection, fingerprint, {n: look.vector for n, look in looks.items()})
    fill(
        connection,
        "INSERT INTO looks SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), "
        "unnest($3::DOUBLE[]), unnest($4::VARCHAR[]), unnest($5::DOUBLE[])",
        [
            (number, fingerprint, look.adherence, look.kind, look.kind_score)
            for number, look in looks.items()
        ],
    )


def _insert_tags(connection: duckdb.DuckDBPyConnection, looks: Mapping[int, Look]) -> None:
    fill(
        connection,
        "INSERT INTO tags SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), 'clip', "
        "unnest($3::DOUBLE[])",
        [(number, tag, score) for number, look in looks.items() for tag, score in look.tags],
    )


def _insert_files(
    connection: duckdb.DuckDBPyConnection, files: Sequence[tuple[int, File]], main: bool = True
) -> None:
    fill(
        connection,
        "INSERT INTO files SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), "
        "unnest($3::BLOB[]), unnest($4::BOOLEAN[]), unnest($5::BOOLEAN[]), "
        "unnest($6::VARCHAR[]), unnest($7::BIGINT[]), unnest($8::BIGINT[])",
        [
            (n, f.path, f.raw_path, f.inside, main, f.file_sha256, f.bytes, f.mtime_ns)
            for n, f in files
        ],
    )


def _add_file(connection: duckdb.DuckDBPyConnection, number: int, file: File) -> None:
    """One more file of a picture; one that was recorded at that path already is recorded anew."""
    connection.execute(
        "DELETE FROM files WHERE picture = ? AND path = ? AND inside = ?",
        [number, file.path, file.inside],
    )
    has_main = connection.execute("SELECT 1 FROM files WHERE picture = ? AND main", [number])
    _insert_files(connection, [(number, file)], main=not has_main.fetchall())
