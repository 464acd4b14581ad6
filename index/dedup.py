"""Dedup: near-identical pictures become one, which keeps all that people said of any of them.

The others go to the trash with their own tags, ratings and sets, so that a restored one is as it
was. Of files that are the same byte for byte, those in the library's folder are removed but for
one; files that stand elsewhere are nobody's to remove, and files that differ both stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, faults, trash, words
from index.addition import recorded
from index.duplicates import Group, Keep, duplicates
from index.names import LONGEST_NOTE

if TYPE_CHECKING:
    import duckdb

    from index.store import Store


@dataclass(frozen=True)
class Deduped:
    """What was merged, or would be.

    near: groups whose first picture stays, the others in the trash
    removed: files that were copies of one that stays
    """

    near: list[Group]
    removed: list[Path]


def dedup(store: Store, keep: Keep = "best", *, dry_run: bool = False) -> Deduped:
    """Merge near-identical pictures and drop second copies of files; all in one transaction.

    Raises NoSuchPicture when a picture was deleted meanwhile, and then merges nothing; LibraryBusy,
    LibraryReadOnly, DiskFull and their kin.
    """
    groups = duplicates(store, ("files", "near"), keep)
    near = [group for group in groups if group.kind == "near"]
    spare = [path for group in groups if group.kind == "files" for path in _spare(store, group)]
    if dry_run or not (near or spare):
        return Deduped(near, spare)
    with store.writing() as connection:
        for group in near:
            numbers = catalogue.resolve_all(connection, [copy.id for copy in group.copies])
            _merge(connection, numbers[0], numbers[1:])
            trash.bury(connection, numbers[1:])
        _forget(connection, store.root, spare)
    trash.settle(store)
    for path in spare:
        faults.reach("sparing")
        path.unlink(missing_ok=True)
    return Deduped(near, spare)


def _spare(store: Store, group: Group) -> list[Path]:
    """The files of a group that can go: all in the library but one, read again to be sure."""
    inside = [copy.path for copy in group.copies if copy.path.is_relative_to(store.root)]
    sums = [_sha256(path) for path in inside]
    if sums[:1] in ([], [None]):
        return []
    # Not what the one that stays is a link to.
    kept = inside[0].resolve()
    copies = zip(inside[1:], sums[1:], strict=True)
    return [path for path, sha in copies if sha == sums[0] and path.resolve() != kept]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _forget(connection: duckdb.DuckDBPyConnection, root: Path, files: Sequence[Path]) -> None:
    """Strike files from the record; a crash before they are removed leaves orphans, no loss."""
    for path in files:
        connection.execute(
            "DELETE FROM files WHERE path = ? AND inside AND NOT main", [recorded(path, root)[0]]
        )


def _merge(connection: duckdb.DuckDBPyConnection, kept: int, others: Sequence[int]) -> None:
    """Give what was said of the others to the one that stays."""
    values = {"kept": kept, "others": list(others)}
    connection.execute(
        "INSERT INTO tags SELECT DISTINCT $kept::BIGINT, tag, 'hand', NULL FROM tags "
        "WHERE picture IN $others AND source = 'hand' AND tag NOT IN "
        "(SELECT tag FROM tags WHERE picture = $kept AND source = 'hand')",
        values,
    )
    # it takes the first place that one of the others has in a set that does not hold it
    connection.execute(
        "INSERT INTO set_members SELECT set_name, $kept::BIGINT, min(position) FROM set_members "
        "WHERE picture IN $others AND set_name NOT IN "
        "(SELECT set_name FROM set_members WHERE picture = $kept) GROUP BY set_name",
        values,
    )
    _merge_curation(connection, kept, others)
    words.renew(connection, [kept])


def _merge_curation(
    connection: duckdb.DuckDBPyConnection, kept: int, others: Sequence[int]
) -> None:
    """The highest rating, and every different note and caption, as long as there is room."""
    rows = connection.execute(
        "SELECT rating, note, caption FROM curation WHERE picture IN $1 "
        "ORDER BY list_position($1::BIGINT[], picture)",
        [[kept, *others]],
    ).fetchall()
    ratings = [rating for rating, _, _ in rows if rating is not None]
    note = _joined([note for _, note, _ in rows], "\n")
    caption = _joined([caption for _, _, caption in rows], ", ")
    connection.execute("DELETE FROM curation WHERE picture = ?", [kept])
    if ratings or note or caption:
        connection.execute(
            "INSERT INTO curation VALUES (?, ?, ?, ?)",
            [kept, max(ratings, default=None), note, caption],
        )


def _joined(texts: Sequence[str | None], between: str) -> str | None:
    """Each text once, in order, while there is room."""
    whole = ""
    for text in dict.fromkeys(text for text in texts if text):
        longer = f"{whole}{between}{text}" if whole else text
        whole = longer if len(longer) <= LONGEST_NOTE else whole
    return whole or None
