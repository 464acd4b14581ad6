"""The seam: what was drawn is kept, found, and can be drawn again, whatever interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from index import Library, Query
from index.record import pixel_id, read_picture
from sovgen import Recipe, Studio
from sovgen.errors import BadRecipe, BrokenPicture, Interrupted, OutOfMemory

APPLE = Recipe("a red apple", seed=11, steps=2)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("studio") / "library")


def test_made_picture_is_found_by_other_words(studio: Studio) -> None:
    [made] = studio.make(APPLE)
    assert made.entry is not None
    answer = studio.library.search(Query(text="fruit", everything=True))
    assert made.entry.id in [hit.entry.id for hit in answer.hits]


def test_file_says_what_the_catalogue_says_and_its_pixels_are_its_id(studio: Studio) -> None:
    [made] = studio.make(APPLE)
    record, image = read_picture(made.path)
    assert made.entry is not None
    assert record.id == made.entry.id == pixel_id(made.picture.image) == pixel_id(image)
    assert record.making is not None
    assert record.making.prompt == made.entry.prompt == "a red apple"
    assert record.making.seed == made.entry.seed == 11


def test_same_recipe_twice_is_one_picture_of_the_same_bytes(studio: Studio) -> None:
    [first] = studio.make(APPLE)
    bytes_before = first.path.read_bytes()
    [second] = studio.make(APPLE)
    assert first.entry is not None
    assert second.entry is not None
    assert first.entry.id == second.entry.id
    assert second.path.read_bytes() == bytes_before


def test_remake_draws_the_very_same_pixels(studio: Studio) -> None:
    [made] = studio.make(APPLE)
    assert made.entry is not None
    assert pixel_id(studio.remake(made.entry.id[:8]).image) == made.entry.id


def test_text_tower_is_the_library_clip_and_stands_in_memory_once(studio: Studio) -> None:
    assert studio.encoder_match == "shared"
    [made] = studio.make(APPLE)
    assert made.entry is not None
    assert made.entry.encoder_match == "shared"


def test_adherence_tags_and_colours_come_with_the_picture(studio: Studio) -> None:
    [made] = studio.make(APPLE)
    assert made.entry is not None
    assert made.entry.adherence is not None
    assert -1 <= made.entry.adherence <= 1
    assert made.entry.colours


def test_private_picture_holds_its_prompt_nowhere(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "library")
    [made] = studio.make(Recipe("xylophone", seed=987654, steps=1), private=True)
    assert made.entry is not None
    assert "987654" not in made.path.name
    assert made.entry.prompt is None
    for path in (tmp_path / "library").rglob("*"):
        assert "xylophone" not in path.name
        if path.is_file():
            assert b"xylophone" not in path.read_bytes(), path
    with pytest.raises(BadRecipe):
        studio.remake(made.entry.id[:8])


def test_unindexed_picture_goes_into_the_current_folder(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = studio.library.info().pictures
    [one] = studio.make(APPLE, index=False)
    [two] = studio.make(APPLE, index=False)
    assert one.entry is two.entry is None
    assert one.path != two.path
    assert Image.open(two.path).size == (128, 128)
    assert studio.library.info().pictures == before


def test_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "library")
    recipes = [Recipe("a red apple", seed=s, steps=1) for s in range(3)]

    def stop_in_the_third(index: int, *_: object) -> None:
        if len(steps := seen) >= 2:
            raise KeyboardInterrupt
        steps.append(index)

    seen: list[int] = []
    kept = []
    with pytest.raises(Interrupted, match="2 pictures were kept"):
        for made in studio.make(recipes, exact=True, on_step=stop_in_the_third):
            kept.append(made)
    assert len(kept) == 2
    assert Library.open(tmp_path / "library").info().pictures == 2


def test_a_consumer_that_leaves_early_loses_nothing(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "library")
    recipes = [Recipe("a red apple", seed=s, steps=1) for s in range(3)]
    made: Iterator[object] = studio.make(recipes, exact=True)
    next(made)
    made.close()  # type: ignore[attr-defined]
    library = Library.open(tmp_path / "library")
    assert library.info().pictures >= 1
    assert library.verify() == []


@pytest.mark.parametrize(("trouble", "error"), [("no room", OutOfMemory), ("nan", BrokenPicture)])
def test_trouble_in_the_second_picture_keeps_the_first_and_indexes_nothing_else(
    tmp_path: Path, trouble: str, error: type[Exception]
) -> None:
    studio, steps = Studio(tmp_path / "library"), list[int]()

    def on_step(step: int, _: int, latents: torch.Tensor) -> None:
        steps.append(step)
        if len(steps) > 2 and trouble == "no room":
            torch.empty(2**60, dtype=torch.uint8)
        if len(steps) == 4:
            latents.fill_(float("nan"))

    recipes = [Recipe("a red apple", seed=s, steps=2) for s in (1, 2)]
    with pytest.raises(error):
        list(studio.make(recipes, exact=True, on_step=on_step))
    assert [entry.seed for entry in studio.library.list(Query())] == [1]
    assert studio.library.verify() == []
