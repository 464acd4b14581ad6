"""Rebuild: the whole catalogue again, from picture files and the journal beside them.

It grows under another name, batch by batch, so that a stop costs nothing, and the old catalogue
stands until the new one is complete; then it is set aside, not removed. Nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import journal, registered, trash
from index.adding import BATCH, Failure
from index.decoding import decoded
from index.entry import absolute
from index.intake import Incoming, take_in
from index.places import grave, places
from index.putback import making_of, put_back, unsettle
from index.record import candidates
from index.refresh import refresh
from index.store import Store

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.journal import Key
    from index.remarks import Remark

GROWING = "library.rebuilding.duckdb"


@dataclass(frozen=True)
class Rebuilt:
    """How many pictures the new catalogue holds, and which files could not be read.

    encoder: what embedded them; unread: how many lines of the journal could not be read
    replaced: where the old catalogue stands now, if there was one
    """

    pictures: int
    failed: list[Failure]
    encoder: str = ""
    unread: int = 0
    replaced: Path | None = None


@dataclass(frozen=True)
class _Source:
    """A file to read, and its home: where the catalogue says it is while it is not deleted."""

    path: Path
    home: Path


def rebuild(
    root: Path, encoder: Encoder, on_progress: Callable[[int, int], None] | None = None
) -> Rebuilt:
    """Make the catalogue of the library at root again. Nobody should add to it meanwhile.

    on_progress: called with how many files are done and how many there are
    Raises what writing raises; what was done before is taken up again next time.
    """
    store, growing = Store(root), Store(root, name=GROWING)
    _begin(growing, encoder)
    told, damaged = journal.read(root), journal.damaged(root)
    with growing.reading() as connection:
        done = {place.home for place in places(connection, root)}
    sources = [source for source in _sources(root, told) if source.home not in done]
    failed: list[Failure] = []
    for count, (batch, unread) in _batches(sources, told):
        failed += unread
        take_in(growing, encoder, batch)
        if on_progress is not None:
            on_progress(len(done) + count, len(done) + len(sources))
    _finish(growing, told)
    old = store.replace_by(growing.path)
    rebuilt = _settled(store, told, failed)
    return replace(rebuilt, encoder=encoder.name, unread=damaged, replaced=old)


def _begin(growing: Store, encoder: Encoder) -> None:
    """Start, or go on if what was begun is of this encoder."""
    if growing.path.exists():
        with growing.reading() as connection:
            if registered.active(connection).fingerprint == encoder.fingerprint:
                return
        growing.path.unlink()
    growing.create(lambda connection: registered.begin(connection, encoder))


def _sources(root: Path, told: Mapping[Key, Remark]) -> Iterator[_Source]:
    """Every file, in the order in which the journal first speaks of them, then the others."""
    seen: set[Path] = set()
    for source in (*_told(root, told), *_found(root)):
        if source.home not in seen and source.path.exists():
            seen.add(source.home)
            yield source


def _told(root: Path, told: Mapping[Key, Remark]) -> Iterator[_Source]:
    for (kind, id), remark in told.items():
        for file in remark.get("files", ()) if kind == "picture" else ():
            raw = bytes.fromhex(file["raw"]) if "raw" in file else None
            inside = not file.get("outside", False)
            home = absolute(root, file["path"], raw, inside)
            buried = grave(root, id, home) if inside else home
            yield _Source(buried if buried.exists() else home, home)


def _found(root: Path) -> Iterator[_Source]:
    for path in candidates([root / "pictures"] if (root / "pictures").is_dir() else []):
        yield _Source(path, path)
    for folder in _graves(root):
        for path in candidates([folder]):
            yield _Source(path, root / path.relative_to(folder))


def _graves(root: Path) -> list[Path]:
    """The folders of deleted pictures, each named by an id."""
    trash_folder = root / "trash"
    return sorted(p for p in trash_folder.iterdir() if p.is_dir()) if trash_folder.is_dir() else []


def _batches(
    sources: Sequence[_Source], told: Mapping[Key, Remark]
) -> Iterator[tuple[int, tuple[list[Incoming], list[Failure]]]]:
    """Decoded pictures as they are recorded at home, and how many files are done by then."""
    batch: list[Incoming] = []
    failed: list[Failure] = []
    newest = {id: making_of(r["makings"][0]) for (_, id), r in told.items() if "makings" in r}
    hidden = _hidden(told)
    found = decoded(source.path for source in sources)
    for count, (source, (path, read)) in enumerate(zip(sources, found, strict=True), 1):
        if isinstance(read, str):
            failed.append(Failure(path, read))
        else:
            making = newest.get(read[0].id, read[0].making)
            record = replace(read[0], path=source.home, making=making)
            batch.append(Incoming(record, read[1], "", None, hidden=record.id in hidden))
        if len(batch) == BATCH or count == len(sources):
            yield count, (batch, failed)
            batch, failed = [], []


def _hidden(told: Mapping[Key, Remark]) -> set[str]:
    """The ids of pictures that hidden sets hold: they never have a thumbnail."""
    sets = {name for (kind, name), remark in told.items() if kind == "set" and remark["hidden"]}
    return {
        id
        for (kind, id), remark in told.items()
        if kind == "picture" and not sets.isdisjoint(remark.get("sets", ()))
    }


def _finish(growing: Store, told: Mapping[Key, Remark]) -> None:
    """Say of the pictures what the journal says, and bury what lies in the trash."""
    with growing.writing() as connection:
        put_back(connection, told)
        connection.execute(
            "INSERT INTO deleted SELECT seq, id, ?, false FROM pictures "
            "WHERE id IN ? AND seq NOT IN (SELECT seq FROM deleted)",
            [datetime.now(UTC).replace(tzinfo=None), [p.name for p in _graves(growing.root)]],
        )
        unsettle(connection)
        journal.begin(connection, growing.root)


def _settled(store: Store, told: Mapping[Key, Remark], failed: list[Failure]) -> Rebuilt:
    trash.settle(store)
    with store.writing() as connection:
        journal.renew(connection, store.root, told)
        row = connection.execute("SELECT count(*) FROM pictures").fetchone()
    refresh(store, force=True)
    return Rebuilt(int(row[0]) if row else 0, failed)
