"""Catalogue: one row per picture, many files, many makings; and ids that name one thing."""

from __future__ import annotations

import os
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index import AmbiguousId, Library, Making, New, NoSuchPicture, Query
from tests.index.conftest import new, picture, png
from tests.index.given import Given
from tests.index.rows import EVERY_SETTING, insert_rows, unit

EVERYTHING = Making(
    producer="sovgen",
    prompt="a fox; 'quoted' \"twice\" \\ 🦊",
    negative="blur",
    model="sovgen-mini",
    model_hash="ab" * 32,
    sampler="euler",
    steps=30,
    guidance=7.5,
    seed=2**64 - 1,
    width=64,
    height=48,
    device="cpu",
    dtype="bfloat16",
    duration=1.25,
    encoder_match="shared",
    safety="clean",
    made=datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    settings=EVERY_SETTING,
    extra={"words": ["a", "b"], "eta": 0.0, "nested": {"x": None}},
)


def test_a_making_comes_back_as_it_went_in(library: Library) -> None:
    image = picture(1)
    (entry,) = library.keep([New(png(image), "x", image, EVERYTHING)])
    (making,) = library.makings(entry.id)
    assert making == EVERYTHING
    assert entry.made == EVERYTHING.made and entry.made.utcoffset() == timedelta(minutes=330)
    for name in "prompt negative model model_hash sampler steps guidance seed device dtype".split():
        assert getattr(entry, name) == getattr(EVERYTHING, name)
    assert (entry.duration, entry.encoder_match, entry.safety) == (1.25, "shared", "clean")
    assert (entry.width, entry.height) == image.size
    assert entry.settings == EVERY_SETTING
    assert len(library.list(Query(where="strength = 0.25 AND NOT transparent"))) == 1


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_is_none_is_not_recorded(library: Library, seed: int) -> None:
    assert library.keep([new(1, seed=seed)])[0].seed is None


def test_the_same_making_again_is_one_row_and_another_is_a_second(library: Library) -> None:
    first = library.keep([new(1, seed=1, duration=2.0)])[0]
    again = library.keep([new(1, seed=1, duration=9.0)])[0]
    assert again == first and len(library.makings(first.id)) == 1
    library.keep([new(1, seed=2, made=datetime(2026, 1, 2, tzinfo=UTC))])
    library.keep([new(1, seed=3, made=datetime(2026, 1, 1, tzinfo=UTC))])
    assert [m.seed for m in library.makings(first.id)] == [2, 3, 1]
    assert library.get(first.id).seed == 2  # of the one made last


def test_adherence_is_to_the_prompt_of_the_newest_making(library: Library, encoder: Given) -> None:
    encoder.teach("what it shows", picture(1))
    library.keep([new(1, prompt="something else")])
    newer = new(1, prompt="what it shows", made=datetime(2026, 1, 2, tzinfo=UTC))
    assert library.keep([newer])[0].adherence == pytest.approx(1.0, abs=1e-6)
    older = new(1, prompt="long ago", made=datetime(2025, 1, 2, tzinfo=UTC))
    assert library.keep([older])[0].adherence == pytest.approx(1.0, abs=1e-6)
    both = [
        new(2, prompt="x"),
        new(2, prompt="what it shows", made=datetime(2026, 1, 2, tzinfo=UTC)),
    ]
    encoder.teach("what it shows", picture(2))
    assert library.keep(both)[0].adherence == pytest.approx(1.0, abs=1e-6)


def test_one_picture_in_two_files_of_other_bytes_is_one_picture(
    library: Library, tmp_path: Path
) -> None:
    kept = library.keep([new(1, prompt="first")])[0]
    told = PngInfo()
    told.add_text("parameters", "another prompt\nSteps: 5, Sampler: Euler a, Seed: 77, Size: 16x16")
    picture(1).save(tmp_path / "same.png", pnginfo=told)
    report = library.add([tmp_path / "same.png"])
    assert (report.added, report.known, report.failed) == ([], 1, [])
    assert len(library.list(Query())) == 1
    assert {m.prompt for m in library.makings(kept.id)} == {"first", "another prompt"}
    assert len(list((library.root / "pictures").rglob("*.png"))) == 2
    assert library.verify() == []
    library.add([tmp_path / "same.png"])
    assert len(list((library.root / "pictures").rglob("*.png"))) == 2
    assert len(library.makings(kept.id)) == 2


def test_prefixes_name_pictures_as_in_git(library: Library) -> None:
    kept = library.keep([new(1)])[0]
    assert library.get(kept.id) == library.get(kept.id[:4]) == library.get(kept.id[:9].upper())
    for prefix, reason in (("", "too short"), (kept.id[:3], "too short"), ("2" * 8, "No picture")):
        with pytest.raises(NoSuchPicture, match=reason):
            library.get(prefix)
    with pytest.raises(NoSuchPicture):
        library.get("%%%%")


def test_a_prefix_of_several_ids_is_refused_and_shows_some(library: Library) -> None:
    insert_rows(library, unit(np.eye(2, 16)), [0, 0])
    with library.store.writing() as connection:
        connection.execute("UPDATE pictures SET id = 'foxfox' || seq")
    with pytest.raises(AmbiguousId, match="foxfox1, foxfox2"):
        library.get("foxf")
    assert library.get("foxfox2").seq == 2


def test_names_that_are_not_utf8_or_not_composed_lead_back_to_their_files(
    library: Library, tmp_path: Path
) -> None:
    odd = os.fsencode(tmp_path) + b"/odd-\xff\xfe.png"
    loose = tmp_path / unicodedata.normalize("NFD", "café.png")
    for number, name in enumerate((odd, os.fsencode(loose))):
        with open(name, "wb") as file:
            file.write(png(picture(number)))
    report = library.add([tmp_path], "in-place")
    assert len(report.added) == 2 and library.verify() == []
    assert {os.fsencode(entry.path) for entry in report.added} == {odd, os.fsencode(loose)}
    with library.store.reading() as connection:
        paths = [p for (p,) in connection.execute("SELECT path FROM files").fetchall()]
    assert all(unicodedata.is_normalized("NFC", path) for path in paths)


def test_paths_inside_are_relative_so_that_a_library_can_move(
    library: Library, tmp_path: Path
) -> None:
    kept = library.keep([new(1)])[0]
    library.root.rename(tmp_path / "moved")
    moved = Library.open(tmp_path / "moved", library.encoder)
    entry = moved.get(kept.id)
    assert entry.path.is_file() and entry.path.is_relative_to(tmp_path / "moved")
    assert moved.verify() == []
    assert moved.search(Query("x", everything=True)).hits[0].entry == entry


def test_pictures_of_every_kind_are_recorded_as_what_they_are(
    library: Library, tmp_path: Path
) -> None:
    Image.new("CMYK", (8, 6), (10, 20, 30, 40)).save(tmp_path / "cmyk.jpg")
    frames = [picture(n) for n in (0, 100, 200)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    Image.new("I;16", (7, 7), 40_000).save(tmp_path / "deep.png")
    report = library.add([tmp_path])
    seen = {(e.media, e.frames, e.width) for e in report.added}
    assert seen == {("image/jpeg", 1, 8), ("image/webp", 3, 16), ("image/png", 1, 7)}
    assert sorted(e.path.suffix for e in report.added) == [".jpg", ".png", ".webp"]
