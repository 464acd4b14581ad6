"""Journal: what cannot be worked out from picture files, as plain JSON lines beside them.

`pictures/.curation/journal.jsonl` follows the catalogue, which stays the only truth: triggers note
in the table `touched` what a transaction changed, and once it is committed a line for each is
appended, within the same turn. A crash in between leaves the notes, and the next writer's turn
appends. The last line about a thing is the one that holds, so a line may be written twice. After
the lines of a transaction stands its number, which the catalogue keeps in the same transaction: by
that a catalogue which has lost some is known (`index.catchup`). This file does not know how
a line is written: that is `index.line`.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index import faults, line, remarks
from index.putback import can_be_put_back
from index.remarks import Remark, key_of

if TYPE_CHECKING:
    import duckdb

Key = tuple[str, str]
_TAIL = 65_536  # bytes at the end of the journal in which its last number is looked for


def path_of(root: Path) -> Path:
    """Where a library's journal is."""
    return root / "pictures" / ".curation" / "journal.jsonl"


def touch(connection: duckdb.DuckDBPyConnection, kind: str, key: str) -> None:
    """Note a change that no trigger sees, inside the caller's transaction."""
    connection.execute("INSERT INTO touched VALUES (?, ?)", [kind, key])


def number(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the last change that the catalogue holds."""
    row = connection.execute("SELECT max(number) FROM journaled").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def count(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the caller's transaction the next number, if it changed what the journal tells."""
    connection.execute(
        "UPDATE journaled SET number = number + 1 WHERE EXISTS (SELECT 1 FROM touched)"
    )


def begin(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Let the catalogue count as one that holds all that the journal tells."""
    connection.execute("UPDATE journaled SET number = greatest(number, ?)", [last(root)])


def last(root: Path) -> int:
    """The number of the last change that the journal tells of; 0 where nothing can be read."""
    try:
        with path_of(root).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().splitlines()
    except OSError:  # writing goes on without a journal, as on a full disk
        return 0
    return next((n for one in reversed(lines) if (n := line.number_in(_remark(one)))), 0)


def follow(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Append a line for all that was touched, and forget that it was.

    In a transaction of its own, within the turn that touched it. Raises OSError where the line
    cannot be written; what was touched is then still known.
    """
    touched = connection.execute("SELECT DISTINCT kind, key FROM touched").fetchall()
    if not touched:
        return
    append(path_of(root), [*_said(connection, touched), line.of_number(number(connection))])
    faults.reach("journaled")
    connection.execute("DELETE FROM touched")


def append(path: Path, said: Iterable[Mapping[str, object]]) -> None:
    """Add lines that outlive a power cut. A line that a full disk cut short is ended first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = b"".join(map(line.written, said))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data
        _write_whole(file, data)
        os.fsync(descriptor)


def _write_whole(file: io.FileIO, data: bytes) -> None:
    """All of it, or OSError: a disk with little room takes a part without a word."""
    while data:
        taken = file.write(data)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[taken:]


def rewrite(root: Path, said: Iterable[Mapping[str, object]]) -> None:
    """Put lines of this in the place of all that was written before."""
    from index.atomic import write_atomically

    path = path_of(root)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, b"".join(map(line.written, said)), durable=True)


def renew(connection: duckdb.DuckDBPyConnection, root: Path, told: Mapping[Key, Remark]) -> None:
    """Write the journal anew, short, keeping what it tells of pictures whose files are away."""
    true = {key_of(remark): remark for remark in remarks.of_everything(connection)}
    away = [remark for key, remark in told.items() if key[0] == "picture" and key not in true]
    rewrite(root, [*true.values(), *away, line.of_number(number(connection))])
    connection.execute("DELETE FROM touched")


def forget(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Leave out every line about pictures that were emptied, inside the caller's transaction.

    The other lines stay byte for byte: to tell all of a million pictures anew takes minutes.
    """
    from index.atomic import replacing

    rows = connection.execute(
        "SELECT id FROM deleted WHERE emptied AND id NOT IN (SELECT id FROM pictures)"
    ).fetchall()
    gone = {id.encode() for (id,) in rows}
    path = path_of(root)
    if gone and path.exists():
        with path.open("rb") as old, replacing(path, durable=True) as new:
            new.writelines(one for one in old if line.id_in(one) not in gone)


def read(root: Path) -> dict[Key, Remark]:
    """The remark that holds for each thing, in the order in which things were first spoken of."""
    return {key: remark for key, remark in since(root, 0).items() if not remark.get("gone")}


def since(root: Path, number: int) -> dict[Key, Remark]:
    """The last remark about each thing since the change of a number, also that it is gone."""
    held: dict[Key, Remark] = {}
    apply(held, _lines(root), number)
    return held


def apply(told: dict[Key, Remark], lines: Iterable[bytes], number: int = 0) -> None:
    """Bring what was told up to what these lines add.

    number: of a change, with whose end all that was told up to then is let go
    """
    for one in lines:
        remark = _remark(one)
        key = key_of(remark)
        if key is not None:
            told[key] = remark
        elif 0 < line.number_in(remark) <= number:
            told.clear()


def damaged(root: Path) -> int:
    """How many lines cannot be read: what they told is lost, or an older line about it holds."""
    return sum(not _remark(one) for one in _lines(root))


def to_follow(connection: duckdb.DuckDBPyConnection) -> set[Key]:
    """What was changed by somebody who died before the journal could tell it."""
    touched = connection.execute("SELECT DISTINCT kind, key FROM touched").fetchall()
    return set(_named(connection, touched))


def _said(connection: duckdb.DuckDBPyConnection, touched: Sequence[Key]) -> list[Remark]:
    keys: dict[str, list[str]] = {"picture": [], "set": [], "search": []}
    for kind, key in touched:
        keys[kind].append(key)
    numbers = [int(key) for key in keys["picture"]]
    said = [
        *remarks.of_sets(connection, keys["set"]),
        *remarks.of_searches(connection, keys["search"]),
        *remarks.of_pictures(connection, numbers),
    ]
    there = {key_of(remark) for remark in said}
    named = _named(connection, touched)
    gone = [{kind: name, "gone": True} for kind, name in named if (kind, name) not in there]
    return gone + said


def _named(connection: duckdb.DuckDBPyConnection, touched: Sequence[Key]) -> list[Key]:
    """What was touched, as it is spoken of: a picture is touched by its number, told by its id."""
    numbers = [int(key) for kind, key in touched if kind == "picture"]
    rows = connection.execute(
        "SELECT id FROM pictures WHERE seq IN $1 UNION SELECT id FROM deleted WHERE seq IN $1",
        [numbers],
    ).fetchall()
    others = [(kind, key) for kind, key in touched if kind != "picture"]
    return others + [("picture", id) for (id,) in rows]


def _lines(root: Path) -> list[bytes]:
    try:
        return path_of(root).read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _remark(one: bytes) -> Remark:
    """What a line says; nothing where it is damaged, or nobody could put it back."""
    remark = line.said(one)
    return remark if can_be_put_back(remark) else {}
