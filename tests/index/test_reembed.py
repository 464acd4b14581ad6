"""Re-embedding: the old vectors answer until the new are complete; a stop costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import EncoderMismatch, Library, Query, curate, reembed, vectors
from tests.index.boxes import ROOT
from tests.index.conftest import new, picture
from tests.index.given import Given

OTHER = Given("other", width=24)


@pytest.fixture
def kept(library: Library) -> Library:
    entries = library.keep([new(n, prompt=f"number {n}") for n in range(6)])
    curate.tag(library, [entries[0].id], ["mine"])
    return library


def clip_tags(library: Library) -> list[tuple[object, ...]]:
    """The scores to four digits: the last bits depend on how many were looked at together."""
    with library.store.reading() as connection:
        return connection.execute(
            "SELECT picture, tag, round(score, 4) FROM tags WHERE source = 'clip' ORDER BY ALL"
        ).fetchall()


def vectors_of(library: Library, encoder: Given) -> dict[int, np.ndarray]:
    with library.store.reading() as connection:
        numbers, rows = vectors.read(connection, encoder.fingerprint, "true", [])
    return dict(zip(numbers.tolist(), rows, strict=True))


def as_if_made_with(encoder: Given, folder: Path) -> Library:
    library = Library.create(folder, encoder)
    library.keep([new(n, prompt=f"number {n}") for n in range(6)])
    return library


def test_afterwards_all_is_as_if_the_new_encoder_had_seen_everything(
    kept: Library, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done = kept.reembed(OTHER, lambda *progress: seen.append(progress))
    assert (done.done, done.failed, seen[-1]) == (6, [], (6, 6))
    twin = as_if_made_with(OTHER, tmp_path / "twin")
    assert clip_tags(kept) == clip_tags(twin)
    for mine, theirs in zip(kept.list(Query()), twin.list(Query()), strict=True):
        assert (mine.kind, mine.adherence) == (theirs.kind, pytest.approx(theirs.adherence))
    assert "mine" in kept.list(Query())[-1].tags
    assert kept.info().encoder == "other" and kept.info().width == 24
    hits = kept.search(Query("x", everything=True)).hits
    others = twin.search(Query("x", everything=True)).hits
    assert [h.entry.id for h in hits] == [h.entry.id for h in others]
    assert kept.verify() == []
    with pytest.raises(EncoderMismatch):
        Library.open(kept.root, Given()).search(Query("x"))


def test_a_killed_reembedding_goes_on_where_it_was(
    kept: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [h.entry.id for h in kept.search(Query("x", everything=True)).hits]
    tags = clip_tags(kept)
    for fault in ("reembedded:2", "switching"):
        kill(kept, fault)
        assert [h.entry.id for h in kept.search(Query("x", everything=True)).hits] == before
        assert clip_tags(kept) == tags and kept.info().encoder == "given"
    assert len(vectors_of(kept, OTHER)) == 6
    encoder = Given("other", width=24)
    assert kept.reembed(encoder).done == 0 and encoder.images_seen == 0
    assert kept.info().encoder == "other" and kept.verify() == []


def kill(library: Library, fault: str) -> None:
    script = (
        "import sys; from index import Library, reembed; from tests.index.given import Given\n"
        "reembed.BATCH = 2; Library.open(sys.argv[1]).reembed(Given('other', width=24))"
    )
    environment = {**os.environ, "SOVGEN_FAULT": fault}
    command = [sys.executable, "-c", script, str(library.root)]
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9


def test_pictures_that_come_meanwhile_are_not_forgotten(
    kept: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Given("other", width=24)
    encode, late = encoder.encode_images, [7, 8]

    def interrupt(images: object) -> object:
        if late:
            Library.open(kept.root, Given()).keep([new(late.pop())])
        return encode(images)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encode_images", interrupt)
    monkeypatch.setattr(reembed, "BATCH", 4)
    assert kept.reembed(encoder).done == 8
    assert len(kept.search(Query("x", everything=True)).hits) == 8 and kept.verify() == []


def test_a_picture_whose_file_is_gone_is_reported_and_stops_nothing(kept: Library) -> None:
    lost = kept.list(Query())[0]
    lost.path.unlink()
    done = kept.reembed(OTHER)
    assert done.done == 5 and [f.path for f in done.failed] == [lost.path]
    assert {d.kind for d in kept.verify()} == {"missing", "no-vector"}
    assert len(kept.search(Query("x", everything=True)).hits) == 5
    assert len(kept.list(Query())) == 6


def test_a_tag_that_was_taken_away_does_not_come_back(kept: Library) -> None:
    tagged = {entry.id: entry.tags for entry in kept.list(Query()) if "mine" not in entry.tags}
    id = max(tagged, key=lambda each: len(tagged[each]))
    assert tagged[id]
    curate.untag(kept, [id], tagged[id])
    kept.reembed(OTHER)
    others = kept.get(id).tags
    assert not set(others) & set(tagged[id])
    curate.untag(kept, [id], others)
    for encoder in (Given(), OTHER):
        kept.reembed(encoder)
        assert kept.get(id).tags == () and kept.verify() == []


def test_what_is_in_the_trash_goes_along(kept: Library) -> None:
    gone = kept.list(Query())[0]
    kept.delete([gone.id])
    assert kept.reembed(OTHER).done == 6
    kept.restore([gone.id])
    assert len(kept.search(Query("x", everything=True)).hits) == 6 and kept.verify() == []


def test_going_back_looks_only_at_what_is_new(kept: Library) -> None:
    kept.reembed(OTHER)
    kept.keep([new(10)])
    back = Given()
    assert kept.reembed(back).done == 1 and back.images_seen == 1
    back.teach("ten", picture(10))
    assert kept.search(Query("ten", k=1, everything=True)).hits[0].entry.seq == 7
