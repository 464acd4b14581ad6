"""Repair: mend what `verify` finds, as far as it can be mended, and say what was done.

Nothing that somebody made is deleted: a picture whose file is gone keeps its row, a file that
nobody can read keeps its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import journal, trash, vectors, words
from index.adding import add
from index.columns import split_zone
from index.counting import counted
from index.errors import LibraryDamaged, UnreadableImage
from index.places import Place, places
from index.proof import prove
from index.putback import put_back, unsettle
from index.record import Record, read_picture
from index.reembed import reembed
from index.refresh import refresh
from index.thumbnails import read_thumbnail, thumbnail_path
from index.trash import OF_PICTURE, settle
from index.verify import Difference, latest, verify

if TYPE_CHECKING:
    from index.encoder import Encoder
    from index.journal import Key
    from index.remarks import Remark
    from index.store import Store


_PASSES = 4
_AT_ONCE = 1_000  # pictures whose rows are in memory together
_ONE_MAIN = """
UPDATE files SET main = true WHERE rowid = (
    SELECT min(rowid) FROM files WHERE picture = $1 HAVING NOT bool_or(main))
"""


@dataclass(frozen=True)
class Repaired:
    """What was done, a line each, and what is still wrong."""

    done: list[str]
    left: list[Difference]


def repair(store: Store, encoder: Callable[[], Encoder]) -> Repaired:
    """Mend a library. Raises LibraryDamaged when a part of its catalogue cannot be read.

    encoder: called only when pictures have to be looked at
    """
    told = journal.read(store.root)
    done = _readable(store)
    store.upgrade()
    settle(store)
    if store.caught_up:
        done.append("what the journal tells and the catalogue had lost was put back")
    found = verify(store)
    for _ in range(_PASSES):
        mended = [*_mend(store, encoder, found, told)]
        if not mended:
            break
        done += mended
        found = verify(store)
    return Repaired(done, found)


def _mend(
    store: Store,
    encoder: Callable[[], Encoder],
    found: Sequence[Difference],
    told: Mapping[Key, Remark],
) -> Iterator[str]:
    kinds = {difference.kind for difference in found}
    if "stray" in kinds:
        yield from _remove_strays(store)
    if "partial" in kinds:
        yield from _remove_partials(found)
    if "orphan" in kinds:
        yield from _adopt(store, encoder(), found, told)
    if "future" in kinds:
        yield from _set_back(store)
    if kinds & {"missing", "changed"}:
        yield from _follow_files(store)
    if "thumbnail" in kinds and (made := _renew_thumbnails(store, found)):
        yield f"{counted(made, 'thumbnail was', 'thumbnails were')} made again"
    if "no-vector" in kinds and (count := reembed(store, encoder()).done):
        one, many = "picture that had no vector has", "pictures that had no vector have"
        yield f"{counted(count, one, many)} one"
    if "words" in kinds:
        yield from _renew_words(store)
    if "journal" in kinds:
        yield from _write_journal(store)
    if "snapshot" in kinds and refresh(store, force=True):
        yield "the snapshot was made again"


def _set_back(store: Store) -> Iterator[str]:
    """Nothing was added later than now; the order in which pictures came is their numbers'."""
    moment, offset = split_zone(datetime.now().astimezone())
    with store.writing() as connection:
        row = connection.execute(
            "UPDATE pictures SET added = ?, added_offset = ? WHERE added > ?",
            [moment, offset, latest()],
        ).fetchone()
    one, many = "picture from a clock that was ahead is", "pictures from a clock that was ahead are"
    yield f"{counted(row[0] if row else 0, one, many)} on record as of now"


def _renew_thumbnails(store: Store, found: Sequence[Difference]) -> int:
    """Pictures that cannot be read stay without; returns how many have a thumbnail again."""
    ids = [difference.where for difference in found if difference.kind == "thumbnail"]
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        for id in some:
            thumbnail_path(id, store.root).unlink(missing_ok=True)
        with store.writing() as connection:
            rows = connection.execute("SELECT seq FROM pictures WHERE id IN ?", [some]).fetchall()
            trash.unsettle(connection, [number for (number,) in rows])
        settle(store)
    return sum(read_thumbnail(id, store.root) is not None for id in ids)


def _renew_words(store: Store) -> Iterator[str]:
    with store.writing() as connection:
        numbers = words.stale(connection)
        words.renew(connection, numbers)
    yield f"the words of {counted(len(numbers), 'picture')} were taken anew from what is written"


def _write_journal(store: Store) -> Iterator[str]:
    told = journal.read(store.root)
    with store.writing() as connection:
        journal.renew(connection, store.root, told)
    yield "the journal was written anew from the catalogue"


def _readable(store: Store) -> list[str]:
    """Set a log aside that is in the way. Whatever is written into a damaged catalogue makes it
    worse, so that all of it is read first."""
    try:
        done = [*_set_log_aside(store)]
        prove(store)
    except LibraryDamaged as error:
        raise LibraryDamaged(
            "The library's catalogue is damaged beyond mending.",
            "Make it again from the picture files and the journal: sovgen library rebuild. "
            "The damaged one is kept aside.",
        ) from error
    return done


def _set_log_aside(store: Store) -> Iterator[str]:
    """Go on without a write-ahead log that DuckDB refuses; every command before had emptied it."""
    try:
        with store.reading():
            return
    except LibraryDamaged:
        log = _log_of(store)
        if not log.exists():
            raise
    aside = next(p for p in _asides(log) if not p.exists())
    log.rename(aside)
    with store.reading():
        yield f"the log could not be read and was set aside as {aside.name}"


def _log_of(store: Store) -> Path:
    return store.path.with_name(f"{store.path.name}.wal")


def _asides(log: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield log.with_name(f"{log.name}.damaged-{number}")
        number += 1


def _remove_strays(store: Store) -> Iterator[str]:
    with store.writing() as connection:
        for table in (*OF_PICTURE, *vectors.tables(connection)):
            row = connection.execute(
                f"DELETE FROM {table} WHERE picture NOT IN (SELECT seq FROM pictures)"  # noqa: S608
            ).fetchone()
            if row and row[0]:
                rows = counted(row[0], "row of no picture was", "rows of no picture were")
                yield f"{rows} removed from {table}"


def _remove_partials(found: Sequence[Difference]) -> Iterator[str]:
    for difference in found:
        if difference.kind == "partial":
            Path(difference.where).unlink(missing_ok=True)
            yield f"{difference.where} was left of an interrupted write and was removed"


def _adopt(
    store: Store, encoder: Encoder, found: Sequence[Difference], told: Mapping[Key, Remark]
) -> Iterator[str]:
    """Take in the files that no row speaks of, where they stand, with what the journal tells."""
    pictures = store.root / "pictures"
    orphans = [Path(d.where) for d in found if d.kind == "orphan"]
    report = add(store, encoder, [p for p in orphans if p.is_relative_to(pictures)], "in-place")
    if report.added:
        ids = {entry.id for entry in report.added}
        with store.writing() as connection:
            about = {k: r for k, r in told.items() if k[0] != "picture" or k[1] in ids}
            put_back(connection, about)
            unsettle(connection)
        settle(store)
        one, many = "picture that no row spoke of was", "pictures that no row spoke of were"
        yield f"{counted(len(report.added), one, many)} taken in"
    if report.known:
        one, many = "more file of a known picture was", "more files of known pictures were"
        yield f"{counted(report.known, one, many)} recorded"


def _follow_files(store: Store) -> Iterator[str]:
    """Rows follow files whose bytes changed and pixels did not, and forget copies that are lost."""
    with store.reading() as connection:
        files = places(connection, store.root)
    wrong = [place for place in files if _digest(place.path) != place.file_sha256]
    bad = set(wrong)
    sound = {place.number for place in files if place not in bad}
    for place in wrong:
        record = _record_of(place)
        with store.writing() as connection:
            if record is not None:
                connection.execute(
                    "UPDATE files SET file_sha256 = ?, bytes = ?, mtime_ns = ? "
                    "WHERE picture = ? AND path = ?",
                    [record.file_sha256, record.bytes, record.mtime_ns, *_key(place)],
                )
                yield f"{place.path} has other bytes but the same pixels; it was recorded anew"
            elif place.number in sound:
                connection.execute("DELETE FROM files WHERE picture = ? AND path = ?", _key(place))
                connection.execute(_ONE_MAIN, [place.number])
                yield f"{place.path} is not the picture any more; {place.id[:8]} has another file"


def _key(place: Place) -> list[object]:
    return [place.number, place.recorded]


def _record_of(place: Place) -> Record | None:
    """What the file says, if it still is the same picture."""
    try:
        record, _ = read_picture(place.path)
    except UnreadableImage:
        return None
    return record if record.id == place.id else None


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
