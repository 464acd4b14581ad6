"""The ways to make pictures from pictures, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from index import Library, Query
from tests.cli.conftest import Cli

FEW = ("--steps", 4, "--guidance", 1, "--seed", 3)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    Image.linear_gradient("L").convert("RGB").resize((128, 128)).save(tmp_path / "shade.png")
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((32, 32, 95, 95), fill=255)
    mask.save(tmp_path / "mask.png")
    return tmp_path


def first_id(root: Path) -> str:
    return Library.open(root).list(Query(k=1))[0].id


def test_file_begins_a_picture_and_is_in_the_library_then(
    cli: Cli, library: Path, files: Path
) -> None:
    flags = ("--from", files / "shade.png", "--mask", files / "mask.png", "--json")
    done = cli(library, "generate", "a moon", *FEW, *flags)
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.stdout)
    opened = Library.open(library)
    assert opened.get(made["settings"]["init"]).width == 128
    mask = opened.get(made["settings"]["mask"], hidden=True)
    assert mask.hidden and mask.sets == ("masks",)
    assert "is " + mask.id[:8] + " in the hidden set masks" in done.stderr
    assert mask.id not in [e.id for e in opened.list(Query(k=None))]
    again = cli(library, "remake", made["id"])
    assert again.stdout.startswith("The same picture"), again.output


def test_a_file_that_holds_another_picture_is_never_taken_for_its_own(
    cli: Cli, library: Path, files: Path, tmp_path: Path
) -> None:
    """Nor is what is drawn from it, laid out or compared with it."""
    first, second = Library.open(library).list(Query(k=2))
    first.path.write_bytes(second.path.read_bytes())
    for words in (
        ("grid", "--ids", first.id, "--to", tmp_path / "grid.png"),
        ("generate", "a moon", *FEW, "--from", first.id[:8]),
        ("remake", first.id[:8]),
    ):
        done = cli(library, *words)
        assert done.exit_code == 1 and "another picture" in done.stderr, done.output
    assert not (tmp_path / "grid.png").exists()
    verified = cli(library, "library", "verify").stdout
    assert verified.startswith(f"changed\t{first.id}\tits file ")


def test_nothing_begins_from_a_hidden_picture_but_its_own_remake(
    cli: Cli, library: Path, files: Path
) -> None:
    source = first_id(library)
    flags = (*FEW, "--from", source[:8], "--strength", 0.5, "--json")
    [made] = json.loads(cli(library, "generate", "a moon", *flags).stdout)
    for words in (("new", "private"), ("add", "private", source[:8]), ("hide", "private")):
        assert cli(library, "set", *words).exit_code == 0
    refused = cli(library, "generate", "a moon", *FEW, "--from", source[:8])
    assert refused.exit_code == 1 and "neither a file nor" in refused.stderr, refused.output
    again = cli(library, "remake", made["id"])
    assert again.stdout.startswith("The same picture"), again.output


def test_without_an_index_nothing_is_added(
    cli: Cli, library: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    before = Library.open(library).info().pictures
    flags = ("--from", "shade.png", "--strength", 0.5, "--extend", "0,0,64,0", "--no-index")
    done = cli(library, "generate", "a moon", *FEW, *flags, "--json")
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.stdout)
    with Image.open(made["path"]) as image:
        assert image.size == (192, 128)
    assert Library.open(library).info().pictures == before


def test_variations_are_drawn_from_an_id(cli: Cli, library: Path) -> None:
    id = first_id(library)
    done = cli(library, "variations", id[:8], "--count", 2, "--seed", 5, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert [m["settings"]["variation_seed"] for m in made] == [5, 6]
    assert all(m["prompt"] == "a blue fish" for m in made)
    done = cli(library, "variations", id[:8], "--count", 1, "--strength", 0.9, "--json")
    assert json.loads(done.stdout)[0]["settings"]["init"] == id


def test_pictures_are_drawn_near_a_seed_at_once(cli: Cli, library: Path) -> None:
    near = ("--variation", 0.1, "--variation-seed", 7, "--count", 2, "--json")
    done = cli(library, "generate", "a moon", *FEW, *near)
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert [one["seed"] for one in made] == [3, 3]
    assert [one["settings"]["variation_seed"] for one in made] == [7, 8]
    assert {one["settings"]["variation"] for one in made} == {0.1}
    again = cli(library, "remake", made[1]["id"])
    assert again.stdout.startswith("The same picture"), again.output
    for half, says in (
        (("--variation-seed", 7), "--variation, 0 to 1"),
        (("--variation", 1.5), "from 0 to 1"),
    ):
        refused = cli(library, "generate", "a moon", *FEW, *half)
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.output


def test_picture_from_elsewhere_varies_by_its_pixels(cli: Cli, library: Path, files: Path) -> None:
    [entry] = Library.open(library).add([files / "shade.png"]).added
    done = cli(library, "variations", entry.id)
    assert done.exit_code == 1
    assert "--strength" in done.stderr
    words = ("variations", entry.id, "--strength", 0.1, "--count", 1, "--prompt", "a sky", "--json")
    done = cli(library, *words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["settings"] == {
        "backend": "torch",
        "init": entry.id,
        "strength": 0.1,
    }


@pytest.mark.parametrize("verb", ["variations", "upscale"])
def test_file_that_is_no_picture_of_the_library_is_to_be_added_first(
    cli: Cli, library: Path, files: Path, verb: str
) -> None:
    file = next(path for path in files.iterdir() if path.is_file())
    done = cli(library, verb, file)
    assert done.exit_code == 1
    assert f"sovgen add {file}" in done.stderr


def test_grid_of_a_search_and_of_what_was_drawn(cli: Cli, library: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.png"
    words = ("grid", "--search", "fruit", "-k", 3, "--all", "--to", file, "--columns", 3)
    assert cli(library, *words).exit_code == 0
    with Image.open(file) as image:
        assert image.size == (3 * 136 + 8, 136 + 8)
        assert not image.info
    assert "there already" in cli(library, *words).stderr
    assert cli(library, *words, "--force").exit_code == 0
    other = tmp_path / "two.png"
    done = cli(library, "generate", "a ring", *FEW, "--count", 2, "--grid", other)
    assert done.exit_code == 0, done.output
    with Image.open(other) as image:
        assert image.size == (2 * 136 + 8, 136 + 8)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("generate", "x", "--strength", 0.5), "needs a picture to begin from"),
        (("generate", "x", "--mask", "m.png"), "needs a picture to begin from"),
        (("generate", "x", "--extend", "8,0,0,0"), "needs a picture to begin from"),
        (("generate", "x", "--from", "y", "--extend", "8,0"), "four numbers"),
        (("generate", "x", "--from", "gone.png"), "neither a file nor"),
        (("generate", "x", "--from", "a", "--mask", "b", "--extend", "8,0,0,0"), "not both"),
        (("generate", "x", "--grid", "a.jpg"), "end it with .png"),
        (("generate", "x", "--grid", "nowhere/a.png"), "no folder"),
        (("variations", "abcd", "--variation", 0.1, "--strength", 0.1), "not both"),
        (("grid", "--to", "a.png"), "exactly one"),
    ],
)
def test_half_an_order_is_refused_in_a_line(
    cli: Cli, drawn: Path, words: tuple[str, ...], says: str
) -> None:
    done = cli(drawn, *words)
    assert done.exit_code in (1, 2)
    assert says in done.stderr


def test_refined_picture_is_upscaled_without_its_refiner(cli: Cli, library: Path) -> None:
    second = ("--refiner", "sovgen-mini", "--refine-from", 0.5, "--json")
    done = cli(library, "generate", "a moon", *FEW, *second)
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.stdout)
    assert (made["settings"]["refiner"], made["settings"]["refine_from"]) == ("sovgen-mini", 0.5)
    again = cli(library, "remake", made["id"])
    assert again.stdout.startswith("The same picture"), again.output
    larger = cli(library, "upscale", made["id"], "--by", 1.5, "--json")
    assert larger.exit_code == 0, larger.output
    assert "refiner" not in json.loads(larger.stdout)[0]["settings"]


def test_upscaled_picture_is_kept_with_what_it_was_made_from(cli: Cli, library: Path) -> None:
    id = first_id(library)
    done = cli(library, "upscale", id[:8], "--by", 1.5, "--steps", 4, "--json")
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.stdout)
    assert (made["width"], made["height"]) == (192, 192)
    assert made["prompt"] == "a blue fish"
    assert made["settings"] == {
        **{"backend": "torch", "init": id, "strength": 0.3},
        **{"upscale": 1.5, "tile": 128},
    }
    assert cli(library, "remake", made["id"]).stdout.startswith("The same picture")


def test_backend_is_stored_found_and_used_again(cli: Cli, library: Path) -> None:
    done = cli(library, "generate", "a moon", *FEW, "--backend", "openvino", "--json")
    assert done.exit_code == 0, done.output
    assert "OpenVINO prepares the denoiser" in done.stderr
    [made] = json.loads(done.stdout)
    listed = cli(library, "list", "--where", "backend = 'openvino'", "--json")
    assert [entry["id"] for entry in json.loads(listed.stdout)] == [made["id"]]
    again = cli(library, "remake", made["id"])
    assert again.stdout.startswith("The same picture, to the last pixel"), again.output
    assert "OpenVINO prepares the denoiser" in again.stderr
    for words in (("variations", "--count", 1), ("upscale", "--by", 1.5)):
        near = cli(library, words[0], made["id"], *words[1:], "--backend", "openvino", "--json")
        assert near.exit_code == 0, near.output
        assert json.loads(near.stdout)[0]["settings"]["backend"] == "openvino"
