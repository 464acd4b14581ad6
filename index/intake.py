"""Intake: a batch of decoded pictures becomes files and rows, whoever made or found them.

A file takes its place first and the transaction makes it a picture; a crash between the two leaves
an orphan that `verify` names and `repair` adopts. Everything slow (encoding, thumbnails, files) is
done before the transaction, so that a writer's turn is short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, faults, makings, meanings, placing, registered, trash
from index.addition import Addition, File, Look, recorded
from index.catalogue import Holding
from index.colours import dominant_colours
from index.errors import LibraryError
from index.looking import look_at
from index.prompt import plain_words
from index.record import Record
from index.thumbnails import make_thumbnail

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index.colours import Colour
    from index.encoder import Encoder
    from index.entry import Entry
    from index.store import Store

_THREADS = 4


@dataclass(frozen=True)
class Incoming:
    """A picture on its way in.

    stem: the beginning of its file's name
    read: gives the bytes of the file to place, or None when the file stays where it is
    text_vector: its prompt's unit vector (width,), when known already
    hidden: whether it is known to be hidden, and so gets no thumbnail
    """

    record: Record
    image: Image.Image
    stem: str
    read: Callable[[], bytes] | None
    text_vector: NDArray[np.float32] | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Taken:
    """A picture as it stands in the library now, and whether the library showed it before."""

    entry: Entry
    known: bool


def take_in(store: Store, encoder: Encoder, batch: Sequence[Incoming]) -> list[Taken]:
    """Place the files, then write every row in one transaction.

    Raises EncoderMismatch, LibraryBusy, DiskFull, LibraryReadOnly and their kin. Then nothing of
    the batch is in the library and no file of it is left, or, where it failed behind the commit,
    all of it is there.
    """
    taken = None
    while taken is None:  # again only if others emptied the trash in between
        taken = _attempt(store, encoder, batch)
    return taken


def _attempt(store: Store, encoder: Encoder, batch: Sequence[Incoming]) -> list[Taken] | None:
    with store.reading() as connection:
        registered.require(registered.active(connection), encoder)
        held = catalogue.holdings(connection, [i.record.id for i in batch])
        retold = _retold(connection, batch, held)
    fresh = {i.record.id: i for i in reversed(batch) if i.record.id not in held}
    now = datetime.now().astimezone()
    with ExitStack() as undo, ThreadPoolExecutor(_THREADS) as threads:
        # files, thumbnails and colours are other threads' work while the encoder looks
        placing_files = threads.map(
            lambda i: _file(store.root, i, held, now, undo), _files_once(batch)
        )
        making_extras = threads.map(lambda i: _extras(store.root, i), fresh.values())
        looks = _looks(encoder, list(fresh.values()))
        prompts = dict(zip(retold, encoder.encode_texts(list(retold.values())), strict=True))
        files, extras = list(placing_files), dict(making_extras)
        additions = [
            replace(
                _addition(i, file, looks.get(i.record.id), extras.get(i.record.id, ()), now),
                prompt=prompts.get(place),
            )
            for place, (i, file) in enumerate(zip(batch, files, strict=True))
        ]
        faults.reach("placed")
        return _commit(store, encoder, additions, undo)


def _commit(
    store: Store, encoder: Encoder, additions: Sequence[Addition], undo: ExitStack
) -> list[Taken] | None:
    """Write the batch; None when a picture that was known is gone, and was not looked at.

    undo: takes the files away again; emptied once they are the library's
    """
    written = _written(store, encoder, additions, undo)
    if written is None:
        return None
    held, numbers, entries, learnt = written
    while learnt == meanings.MOST_LEARNT:  # the rest, a few at a time
        with store.writing() as connection:
            learnt = meanings.learn(connection, encoder)
    if any(h.deleted for h in held.values()):
        trash.settle(store)
    shown = {h.number for h in held.values() if not h.deleted}
    firsts = {number: place for place, number in reversed(list(enumerate(numbers)))}
    return [
        Taken(entry, entry.seq in shown or firsts[entry.seq] != place)
        for place, entry in enumerate(entries)
    ]


def _written(
    store: Store, encoder: Encoder, additions: Sequence[Addition], undo: ExitStack
) -> tuple[dict[str, Holding], list[int], list[Entry], int] | None:
    """What was held before, the numbers and entries now, how many words were learnt; as above.

    What fails behind the commit (the journal, closing, Ctrl-C) must not take the files from their
    rows: from then on only rows that are seen not to be there let files go.
    """
    placed = ExitStack()
    try:
        with store.writing() as connection:
            registered.require(registered.active(connection), encoder)
            held = catalogue.holdings(connection, [a.id for a in additions])
            if any(a.look is None and a.id not in held for a in additions):
                return None
            trash.restore_rows(connection, [h.number for h in held.values() if h.deleted])
            numbers = catalogue.insert(connection, additions, encoder.fingerprint, held)
            learnt = meanings.learn(connection, encoder)
            entries = catalogue.entries(connection, store.root, numbers)
            placed = undo.pop_all()
    except BaseException:
        if not _may_stand(store, additions):
            placed.close()
        raise
    return held, numbers, entries, learnt


def _may_stand(store: Store, additions: Sequence[Addition]) -> bool:
    """Whether the files of these are on record, or nobody can tell."""
    names = [a.file.path for a in additions if a.file]
    try:
        with store.reading() as connection:
            rows = connection.execute("SELECT 1 FROM files WHERE path IN ? LIMIT 1", [names])
            return bool(rows.fetchall())
    except LibraryError:
        return True


def _retold(
    connection: duckdb.DuckDBPyConnection,
    batch: Sequence[Incoming],
    held: Mapping[str, Holding],
) -> dict[int, str]:
    """The plain words of the prompts of known pictures that were made another way this time, by
    their places in the batch."""
    recorded = makings.of_pictures(connection, [holding.number for holding in held.values()])
    seen: set[str] = set()
    found: dict[int, str] = {}
    for place, incoming in enumerate(batch):
        making, id = incoming.record.making, incoming.record.id
        again = id in held or id in seen
        seen.add(id)
        if making is None or not making.prompt or not again:
            continue
        known = recorded.get(held[id].number, ()) if id in held else ()
        if not any(makings.is_same(making, old) for old in known):
            found[place] = plain_words(making.prompt)
    return found


def _looks(encoder: Encoder, fresh: Sequence[Incoming]) -> dict[str, Look]:
    looks = look_at(
        encoder,
        [i.image for i in fresh],
        [i.record.making.prompt if i.record.making else None for i in fresh],
        [i.text_vector for i in fresh],
    )
    return {i.record.id: look for i, look in zip(fresh, looks, strict=True)}


def _extras(root: Path, incoming: Incoming) -> tuple[str, Sequence[Colour]]:
    if not incoming.hidden:
        make_thumbnail(incoming.image, incoming.record.id, root)
    return incoming.record.id, dominant_colours(incoming.image)


def _files_once(batch: Sequence[Incoming]) -> list[Incoming | None]:
    """The batch, with None for what would place the same bytes a second time."""
    seen: set[str] = set()
    once: list[Incoming | None] = []
    for incoming in batch:
        again = incoming.read is not None and incoming.record.file_sha256 in seen
        once.append(None if again else incoming)
        seen.add(incoming.record.file_sha256)
    return once


def _file(
    root: Path,
    incoming: Incoming | None,
    held: Mapping[str, Holding],
    now: datetime,
    undo: ExitStack,
) -> File | None:
    """Place the file, unless it stays where it is or its bytes are here already."""
    if incoming is None:
        return None
    record = incoming.record
    if incoming.read is None:
        return _described(root, record.path, record, record.mtime_ns)
    home = placing.day_folder(root, now.date())
    target = home / f"{incoming.stem}-{record.id[:8]}{placing.SUFFIXES[record.media]}"
    holding = held.get(record.id)
    if holding is not None and record.file_sha256 in holding.files:
        target = root / holding.files[record.file_sha256]
        if holding.deleted or target.exists():
            return None
    # What lies in the trash comes back to its old name, also when others hold that by then.
    taken = {root / name for name in holding.files.values()} if holding and holding.deleted else ()
    placed = placing.place(target.parent, target.name, incoming.read(), taken)
    undo.callback(placed.unlink, missing_ok=True)
    return _described(root, placed, record, os.stat(placed).st_mtime_ns)


def _described(root: Path, path: Path, record: Record, mtime_ns: int) -> File:
    name, raw, inside = recorded(path, root)
    return File(name, raw, inside, record.file_sha256, record.bytes, mtime_ns)


def _addition(
    incoming: Incoming,
    file: File | None,
    look: Look | None,
    colours: Sequence[Colour],
    now: datetime,
) -> Addition:
    record = incoming.record
    return Addition(
        id=record.id,
        width=record.width,
        height=record.height,
        media=record.media,
        frames=record.frames,
        added=now,
        file=file,
        making=record.making,
        look=look,
        colours=colours,
    )
