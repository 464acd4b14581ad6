"""Re-embedding: every picture gets a vector of another encoder, while the old ones answer.

The new table fills batch by batch, each committed, so it can be stopped and taken up again. When
nothing is missing, one transaction switches the encoder, what it says of pictures, and its tags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from index import catalogue, faults, registered, upkeep, vectors, words
from index.adding import Failure
from index.decoding import decoded
from index.looking import look_at
from index.places import Place, places
from index.refresh import refresh

if TYPE_CHECKING:
    import duckdb
    from PIL import Image

    from index.encoder import Encoder
    from index.store import Store

BATCH = 32
_WINDOW = 512


_PROMPTS = "SELECT picture, prompt FROM makings WHERE newest AND picture IN ?"


@dataclass(frozen=True)
class _Seen:
    """A picture that was decoded again."""

    number: int
    image: Image.Image
    prompt: str | None


@dataclass(frozen=True)
class Reembedded:
    """How many vectors are new, and which pictures have none because no file could be read."""

    done: int
    failed: list[Failure] = field(default_factory=list)


def reembed(
    store: Store, encoder: Encoder, on_progress: Callable[[int, int], None] | None = None
) -> Reembedded:
    """Go over to an encoder; with the present one, only fill in the vectors that are missing.

    on_progress: called with how many pictures are done and how many there are
    Raises what reading and writing raise; what was done before is taken up again next time.
    """
    with store.writing() as connection:
        registered.register(connection, encoder)
    done, failed = 0, dict[int, Failure]()
    while True:
        with store.reading() as connection:
            wanted = _missing(connection, encoder, failed)
        total = done + len(failed) + len(wanted)
        for batch, unread in _batches(store, wanted):
            _write(store, encoder, batch)
            failed.update(unread)
            done += len(batch)
            if on_progress is not None:
                on_progress(done + len(failed), total)
        if not wanted and _switch(store, encoder, failed):
            break
    upkeep.learn(store, encoder, every=True)
    refresh(store)
    return Reembedded(done, list(failed.values()))


def _missing(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, failed: Mapping[int, Failure]
) -> list[int]:
    """The pictures, deleted ones too, that have no vector of this encoder yet."""
    table = vectors.table(encoder.fingerprint)
    rows = connection.execute(
        f"SELECT seq FROM pictures WHERE seq NOT IN (SELECT picture FROM {table}) ORDER BY seq"  # noqa: S608
    ).fetchall()
    return [number for (number,) in rows if number not in failed]


def _batches(
    store: Store, wanted: Sequence[int]
) -> Iterator[tuple[list[_Seen], dict[int, Failure]]]:
    for start in range(0, len(wanted), _WINDOW):
        with store.reading() as connection:
            numbers = list(wanted[start : start + _WINDOW])
            files = _one_file_each(places(connection, store.root, numbers))
            prompts = dict(connection.execute(_PROMPTS, [numbers]).fetchall())
        unread = {n: Failure(store.root, "it has no file") for n in numbers if n not in files}
        batch: list[_Seen] = []
        found = decoded(place.path for place in files.values())
        for (number, place), (path, read) in zip(files.items(), found, strict=True):
            if isinstance(read, str):
                unread[number] = Failure(path, read)
            elif read[0].id != place.id:
                unread[number] = Failure(path, "it holds another picture now")
            else:
                batch.append(_Seen(number, read[1], prompts.get(number)))
            if len(batch) == BATCH:
                yield batch, unread
                batch, unread = [], {}
        yield batch, unread


def _one_file_each(files: Sequence[Place]) -> dict[int, Place]:
    """For each picture its first file that is there, or else its last."""
    chosen: dict[int, Place] = {}
    for place in files:
        if place.number not in chosen or not chosen[place.number].path.exists():
            chosen[place.number] = place
    return chosen


def _write(store: Store, encoder: Encoder, batch: Sequence[_Seen]) -> None:
    looks = dict(
        zip(
            [seen.number for seen in batch],
            look_at(encoder, [s.image for s in batch], [s.prompt for s in batch]),
            strict=True,
        )
    )
    with store.writing() as connection:
        still = _still_missing(connection, encoder, list(looks))
        looks = {number: look for number, look in looks.items() if number in still}
        catalogue.insert_looks(connection, looks, encoder.fingerprint)
        catalogue.fill(
            connection,
            "INSERT INTO tags_waiting SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), "
            "unnest($3::VARCHAR[]), unnest($4::DOUBLE[])",
            [(n, encoder.fingerprint, *tag) for n, look in looks.items() for tag in look.tags],
        )
    faults.reach("reembedded")


def _still_missing(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, numbers: Sequence[int]
) -> set[int]:
    """Those of these pictures that are there and have no vector of this encoder."""
    table = vectors.table(encoder.fingerprint)
    rows = connection.execute(
        "SELECT seq FROM pictures WHERE seq IN $1 AND seq NOT IN "  # noqa: S608
        f"(SELECT picture FROM {table} WHERE picture IN $1)",
        [list(numbers)],
    ).fetchall()
    return {number for (number,) in rows}


def _switch(store: Store, encoder: Encoder, failed: Mapping[int, Failure]) -> bool:
    """Let the encoder answer from now on; False when pictures were added in the meantime."""
    with store.writing() as connection:
        if _missing(connection, encoder, failed):
            return False
        fingerprint = encoder.fingerprint
        if registered.active(connection).fingerprint != fingerprint:
            connection.execute("DELETE FROM tags WHERE source = 'clip'")
        connection.execute(
            "INSERT INTO tags SELECT picture, tag, 'clip', score FROM tags_waiting "
            "WHERE fingerprint = ? AND (picture, tag) NOT IN (SELECT (picture, tag) FROM refused)",
            [fingerprint],
        )
        connection.execute("DELETE FROM tags_waiting WHERE fingerprint = ?", [fingerprint])
        words.renew(connection)
        registered.activate(connection, fingerprint)
        faults.reach("switching")
    return True
