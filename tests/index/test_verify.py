"""Verify and repair: every difference is named, and what can be mended is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from index import Library, Query, curate, vectors
from index.refresh import refresh
from index.repair import repair
from index.thumbnails import thumbnail_path
from index.verify import ABANDONED_S, Difference
from tests.index.conftest import new, picture, png
from tests.index.given import Given


def kinds(library: Library) -> list[str]:
    return [difference.kind for difference in library.verify()]


def mended(library: Library) -> list[str]:
    """What repair says it did; afterwards nothing may differ."""
    repaired = repair(library.store, lambda: library.encoder)
    assert repaired.left == [] == library.verify()
    return repaired.done


@pytest.fixture
def kept(library: Library) -> Library:
    library.keep([new(n) for n in range(3)])
    refresh(library.store, force=True)
    assert library.verify() == []
    return library


def entries(library: Library) -> dict[str, Path]:
    return {entry.id: entry.path for entry in library.list(Query())}


def test_a_lost_file_is_named_and_keeps_its_row(kept: Library) -> None:
    id, path = next(iter(entries(kept).items()))
    path.unlink()
    assert kept.verify() == [
        Difference("missing", id, f"its file {path}: No such file or directory")
    ]
    repaired = repair(kept.store, lambda: kept.encoder)
    assert repaired.done == [] and [d.kind for d in repaired.left] == ["missing"]
    assert id in entries(kept)


def test_a_file_that_was_renamed_by_hand_is_found_again(kept: Library) -> None:
    id, path = next(iter(entries(kept).items()))
    curate.rate(kept, [id], 5)
    path.rename(path.with_name("renamed.png"))
    assert sorted(kinds(kept)) == ["missing", "orphan"]
    assert len(mended(kept)) == 2
    assert kept.get(id).path.name == "renamed.png" and kept.get(id).rating == 5


def test_a_file_whose_bytes_rotted_is_named_and_left_alone(kept: Library) -> None:
    id, path = next(iter(entries(kept).items()))
    data = path.read_bytes()
    path.write_bytes(data[:50] + b"rot" + data[53:])
    assert kinds(kept) == ["changed"]
    repaired = repair(kept.store, lambda: kept.encoder)
    assert [d.where for d in repaired.left] == [id] and path.exists()


def test_a_file_with_other_metadata_and_the_same_pixels_is_recorded_anew(kept: Library) -> None:
    path = next(iter(entries(kept).values()))
    picture_of = {p: n for n in range(3) for p in entries(kept).values() if f"-{n}-" in p.name}
    picture(picture_of[path]).save(path, "PNG", compress_level=0)
    assert kinds(kept) == ["changed"]
    assert "recorded anew" in mended(kept)[0]


def test_an_orphan_is_named_and_taken_in(kept: Library) -> None:
    path = kept.root / "pictures" / "orphan.png"
    path.write_bytes(png(picture(9)))
    assert kept.verify() == [Difference("orphan", str(path), "belongs to no picture on record")]
    assert mended(kept) == ["1 picture that no row spoke of was taken in"]
    assert path in entries(kept).values() and len(entries(kept)) == 4


def test_an_orphan_that_is_no_picture_is_left_and_said(kept: Library) -> None:
    (kept.root / "pictures" / "note.txt").write_text("mine")
    repaired = repair(kept.store, lambda: kept.encoder)
    assert [d.kind for d in repaired.left] == ["orphan"]
    assert (kept.root / "pictures" / "note.txt").read_text() == "mine"


def test_what_an_interrupted_write_left_goes_once_nobody_can_be_at_it(kept: Library) -> None:
    path = kept.root / "pictures" / ".half.partial"
    path.write_bytes(b"half")
    assert kept.verify() == []
    long_ago = time.time() - ABANDONED_S - 1
    os.utime(path, (long_ago, long_ago))
    assert kinds(kept) == ["partial"]
    assert len(mended(kept)) == 1 and not path.exists()


def test_a_picture_without_a_vector_gets_one(kept: Library) -> None:
    with kept.store.writing() as connection:
        connection.execute(
            f"DELETE FROM {vectors.table(kept.encoder.fingerprint)} WHERE picture = 2"
        )
    assert sorted(kinds(kept)) == ["no-vector", "snapshot"]
    assert "1 picture that had no vector has one" in mended(kept)
    assert len(kept.search(Query("x", everything=True)).hits) == 3


def test_rows_of_no_picture_are_removed(kept: Library) -> None:
    with kept.store.writing() as connection:
        connection.execute("INSERT INTO tags VALUES (99, 'stray', 'hand', NULL)")
        connection.execute("INSERT INTO curation (picture, rating) VALUES (98, 1)")
    assert kinds(kept) == ["stray", "stray"]
    assert len(mended(kept)) == 2


def test_a_picture_on_record_twice_is_named(kept: Library) -> None:
    with kept.store.writing() as connection:
        connection.execute("UPDATE pictures SET id = (SELECT id FROM pictures WHERE seq = 1)")
    assert kinds(kept)[0] == "twice"


def test_files_in_the_trash_are_checked_where_they_are(kept: Library) -> None:
    id, path = next(iter(entries(kept).items()))
    kept.delete([id])
    assert kept.verify() == []
    shutil.rmtree(kept.root / "trash" / id)
    assert kinds(kept) == ["missing"]


def test_a_library_that_lost_everything_but_its_pictures_says_so(kept: Library) -> None:
    shutil.rmtree(kept.root / "vectors")
    assert kept.verify() == []  # a cache, made again by itself
    shutil.rmtree(kept.root / "thumbs")
    assert kinds(kept) == ["thumbnail"] * 3
    assert len(Library.open(kept.root, Given()).search(Query("x", everything=True)).hits) == 3


def test_a_thumbnail_that_is_lost_or_damaged_is_named_and_made_again(kept: Library) -> None:
    lost, torn, flipped = (thumbnail_path(id, kept.root) for id in sorted(entries(kept)))
    before = {path: path.read_bytes() for path in (lost, torn, flipped)}
    lost.unlink()
    torn.write_bytes(before[torn][:-7])
    data = bytearray(before[flipped])
    data[len(data) // 2] ^= 4
    flipped.write_bytes(data)
    assert kinds(kept) == ["thumbnail"] * 3
    assert mended(kept) == ["3 thumbnails were made again"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_thumbnail_of_a_picture_that_is_lost_too_is_left(kept: Library) -> None:
    id, path = next(iter(entries(kept).items()))
    path.unlink()
    thumbnail_path(id, kept.root).unlink()
    repaired = repair(kept.store, lambda: kept.encoder)
    assert repaired.done == [] and [d.kind for d in repaired.left] == ["missing", "thumbnail"]


def test_what_is_hidden_needs_no_thumbnail(kept: Library) -> None:
    id = next(iter(entries(kept)))
    curate.new_set(kept, "private")
    curate.add_to_set(kept, "private", [id])
    curate.hide_set(kept, "private")
    assert not thumbnail_path(id, kept.root).exists() and kept.verify() == []


def test_repair_of_a_whole_library_does_nothing(kept: Library) -> None:
    before = kept.store.path.read_bytes()
    repaired = Library.repair(kept.root, kept.encoder)
    assert (repaired.done, repaired.left) == ([], [])
    with kept.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM pictures").fetchall() == [(3,)]
    assert len(before) == kept.store.path.stat().st_size
