"""A data set from a recipe: what is kept, what is left out, who is credited."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sovgen.errors import BadDataset, BadSettings
from sovgen.train.captions import compose, with_article
from sovgen.train.chance import chance
from sovgen.train.dataset import Dataset, build, open_dataset
from sovgen.train.grounds import Ground, draw_ground, laid_on, nearest_ground
from tests.sovgen.train.full_disk import run_on_small_disk


def built(recipe: Path, folder: Path, notices: list[str] | None = None) -> Dataset:
    heard = notices if notices is not None else []
    return build(recipe, folder, packages=folder, workers=1, on_notice=heard.append)


def test_keeps_what_can_be_drawn_and_says_what_cannot(recipe: Path, tmp_path: Path) -> None:
    notices: list[str] = []
    data = built(recipe, tmp_path / "d", notices)
    assert [(p.set, p.name) for p in data.pictures] == [
        ("shapes", "red-circle"),
        ("shapes", "blue-square"),
        ("shapes", "green-triangle"),
        ("shapes", "owl"),
        ("together", "greentriangle"),
    ]
    assert "Left out, unreadable: shapes/torn." in notices
    assert any("5 kept" in n and "1 faint, 1 unreadable" in n for n in notices)


def test_names_become_captions_with_keywords_and_styles(data: Dataset) -> None:
    owl, together = data.pictures[3], data.pictures[4]
    assert (owl.caption, list(owl.keywords), list(owl.styles)) == (
        "owl", ["bird", "night"], ["flat style"],
    )  # fmt: skip
    assert together.caption == "green triangle"
    assert not data.pictures[1].mirror and owl.mirror


def test_pixels_are_the_drawings(data: Dataset) -> None:
    red = data.pixels[0]
    assert red.shape == (32, 32, 4)
    assert red[16, 16].tolist() == [0xDD, 0x22, 0x22, 255]
    assert red[0, 0, 3] == 0


def test_test_sets_are_kept_apart_and_only_under_known_names(data: Dataset) -> None:
    judged = open_dataset(data.folder, "test")
    assert [p.name for p in judged.pictures] == ["owl"]
    assert "judge" not in {p.set for p in data.pictures}


def test_attribution_names_every_source_and_its_use(data: Dataset) -> None:
    said = (data.folder / "ATTRIBUTION.md").read_text()
    assert "| shapes | shapes | MIT | u | training |" in said
    assert "| judge | judge | CC-BY-SA-4.0 | u | testing only |" in said
    assert "| words | w | MIT |" in said


def test_held_out_rows_are_a_fixed_part_and_never_trained_on(data: Dataset) -> None:
    held, trained = data.rows(held_out=True), data.rows(held_out=False)
    assert len(held) and not set(held) & set(trained)
    assert set(held) | set(trained) == set(range(5))


def test_building_twice_gives_the_same_bytes(recipe: Path, data: Dataset, tmp_path: Path) -> None:
    again = built(recipe, tmp_path / "again")
    for name in ("pictures.u8", "dataset.json", "ATTRIBUTION.md"):
        assert (again.folder / name).read_bytes() == (data.folder / name).read_bytes()


def test_a_licence_that_forbids_training_is_refused(recipe: Path, tmp_path: Path) -> None:
    bad = recipe.with_name("bad.toml")
    bad.write_text(recipe.read_text().replace('role = "test"', 'role = "train"'))
    with pytest.raises(BadDataset, match="CC-BY-SA-4.0: not to be trained on"):
        built(bad, tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_a_licence_other_than_the_recipe_says_is_refused(recipe: Path, tmp_path: Path) -> None:
    bad = recipe.with_name("claimed.toml")
    bad.write_text(recipe.read_text().replace('licence = "MIT"\nstyles', 'licence = "ISC"\nstyles'))
    with pytest.raises(BadDataset, match="shapes is under MIT, not ISC"):
        built(bad, tmp_path / "d")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("side = 32", "sides = 32", "unknown key 'sides'"),
        ("side = 32", "side = = 32", "is not a recipe"),
        ("variants = '-light$'", "varians = 1", "unknown key 'varians'"),
    ],
)
def test_a_misspelt_recipe_is_refused(
    recipe: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    bad = recipe.with_name("misspelt.toml")
    bad.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(BadSettings, match=said):
        built(bad, tmp_path / "d")


def test_nothing_left_to_learn_from_is_said(recipe: Path, tmp_path: Path) -> None:
    bad = recipe.with_name("none.toml")
    bad.write_text(recipe.read_text().replace("^flag-", "."))
    with pytest.raises(BadDataset, match="no picture is left"):
        built(bad, tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_an_icon_set_that_is_none_is_refused(recipe: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(recipe.parent, base)
    (base / "shapes" / "icons.json").write_text('{"icons": ')
    with pytest.raises(BadDataset, match="not an icon set"):
        built(base / "tiny.toml", tmp_path / "d")


BUILD_ON_A_FULL_DISK = """
import sys
from pathlib import Path
from sovgen.errors import NoRoom
from sovgen.train.dataset import build
disk, recipe = Path(sys.argv[1]), Path(sys.argv[2])
try:
    build(recipe, disk / "d", packages=disk, workers=1, on_notice=lambda text: None)
except NoRoom as error:
    print(error.message, [f.name for f in disk.iterdir()])
"""


def test_a_full_disk_leaves_nothing_half_built(recipe: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    said = run_on_small_disk(disk, "12k", BUILD_ON_A_FULL_DISK, str(recipe))
    assert said == f"No room for the data set in {disk / 'd'}. []\n"


def test_a_damaged_data_set_is_refused(data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(data.folder, folder)
    (folder / "pictures.u8").write_bytes(b"short")
    with pytest.raises(BadDataset, match="empty or damaged"):
        open_dataset(folder)
    with pytest.raises(BadDataset, match="no data set"):
        open_dataset(tmp_path)
    meta = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**meta, "pictures": []}))
    with pytest.raises(BadDataset, match="empty or damaged"):
        open_dataset(folder)


def test_captions_say_name_style_and_ground() -> None:
    said = {
        compose("owl", ["bird"], ["flat style"], "teal", chance(1, i).numpy) for i in range(300)
    }
    assert {"owl on a teal background", "an owl, flat style, teal background"} <= said
    assert "bird on a teal background" in said
    assert all("teal" in s for s in said)
    plain = [compose("owl", [], [], "white", chance(2, i).numpy) for i in range(300)]
    assert 10 < sum("white" in s for s in plain) < 70
    assert set(plain) > {"owl", "an owl"}
    assert [with_article(n) for n in ("fox", "owl", "scissors", "")] == [
        "a fox", "an owl", "scissors", "",
    ]  # fmt: skip


def test_pictures_are_laid_on_their_ground() -> None:
    rgba = np.zeros((2, 2, 2, 4), np.uint8)
    rgba[1] = (255, 0, 0, 255)
    x = laid_on(rgba, [Ground("blue", (0.0, 0.0, 1.0)), Ground("white", (1.0, 1.0, 1.0))])
    assert x[0, :, 0, 0].tolist() == [0, 0, 1]
    assert x[1, :, 0, 0].tolist() == [1, 0, 0]


def test_drawn_grounds_are_nearest_to_their_own_name() -> None:
    drawn = [draw_ground(chance(3, i).numpy, 0.5) for i in range(200)]
    assert 70 < sum(g.name == "white" for g in drawn) < 130
    told = [nearest_ground(np.array(g.rgb, np.float32)) == g.name for g in drawn]
    assert np.mean(told) > 0.9


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('role = "test"', 'role = "tests"', "role = 'tests'"),
        ("variants = '-light$'", "variants = '('", "is no regular expression"),
        ("side = 32", 'side = "big"', "side = 'big'"),
        ('folder = "together"', "", "a package or a folder"),
        ('name = "together"', 'name = "shapes"', "two sets are called"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(
    recipe: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    bad = recipe.with_name("meaningless.toml")
    assert old in recipe.read_text()
    bad.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(BadSettings, match=said):
        built(bad, tmp_path / "d")


def test_a_folder_that_holds_something_else_is_refused_at_once(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "letter.txt").write_text("mine")
    notices: list[str] = []
    with pytest.raises(BadDataset, match="holds something else"):
        built(recipe, tmp_path / "d", notices)
    assert notices == []


@pytest.mark.parametrize("file", ["shapes/info.json", "words/data.json"])
def test_damaged_files_of_a_package_are_named(recipe: Path, tmp_path: Path, file: str) -> None:
    base = Path(shutil.copytree(recipe.parent, tmp_path / "base"))
    (base / file).write_text('{"a": ')
    with pytest.raises(BadDataset, match=file.partition("/")[2]):
        built(base / "tiny.toml", tmp_path / "d")
