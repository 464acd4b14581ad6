"""explain, sweep, and keeping the best: from the command line to pictures on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from index import Library
from sovgen.errors import BrokenPicture
from sovgen.generate.generator import generate
from sovgen.models.load import Model
from sovgen.picture import Picture
from sovgen.recipe import Recipe
from tests.cli.conftest import Cli
from tests.sovgen.test_turn import line, visit


def test_explain_writes_one_film_strip_and_nothing_over_it(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("explain", "a (red:1.2) apple", "--seed", 7, "--steps", 3, "--frames", 2)
    done = cli(drawn, *words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "explain-a-red-apple-7.png\n"
    with Image.open(tmp_path / "explain-a-red-apple-7.png") as strip:
        assert strip.format == "PNG" and strip.width > 3 * 128
        assert not strip.info
    again = cli(drawn, *words)
    assert again.exit_code == 1 and "exists" in again.stderr
    assert again.stderr.splitlines()[-1].startswith("Hint: Name another")


@pytest.mark.parametrize("verb", ["explain", "sweep"])
def test_seeing_waits_for_its_turn(
    cli: Cli,
    drawn: Path,
    environ: dict[str, str],
    tmp_path: Path,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOVGEN_CACHE", environ["SOVGEN_CACHE"])
    words = ("--steps", 2, "--to", tmp_path / f"{verb}.png")
    other, told = visit("other", 1, tmp_path / "log", "asks"), list[str]()
    assert line(other) == "in"

    def notice(text: str) -> None:
        told.append(text)
        other.communicate("go\n")

    monkeypatch.setattr(f"sovgen.cli.{verb}.notice", notice)
    sized = ("--count", 1, "--size", "64x64") if verb == "sweep" else ("--frames", 2)
    assert cli(drawn, verb, "a red apple", *words, *sized).exit_code == 0
    assert told == ["Waiting: another run is drawing on cpu."]


def test_explain_that_fails_leaves_no_file(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    done = cli(drawn, "explain", "a cup", "--from", "zzzz", "--to", tmp_path / "strip.png")
    assert done.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "strip.jpg"), "end it with .png"),
        (("--to", "none/strip.png"), "no folder"),
        (("--transparent",), "No such option"),
    ],
)
def test_explain_refuses_what_it_cannot_write(
    cli: Cli,
    drawn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(drawn, "explain", "a cup", "--steps", 1, *words)
    assert done.exit_code == 2 and told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_explain_lets_a_picture_of_the_library_dissolve(
    cli: Cli, drawn: Path, tmp_path: Path
) -> None:
    [entry] = json.loads(cli(drawn, "search", "a blue fish", "--all", "-k", 1, "--json").stdout)
    words = ("--from", entry["id"][:8], "--steps", 2, "--frames", 2, "--to", tmp_path / "strip.png")
    assert cli(drawn, "explain", "a red apple", *words).exit_code == 0


def test_sweep_writes_grid_and_plot_and_answers(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    words = ("sweep", "a red apple", "--steps", "1,2", "--count", 1, "--size", "64x64")
    done = cli(drawn, *words, "--to", tmp_path / "sweep", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [way["steps"] for way in told["ways"]] == [1, 2, 64]
    assert "sovgen-mini on" in told["answer"]
    for name in ("grid.png", "plot.png"):
        with Image.open(tmp_path / "sweep" / name) as image:
            assert image.width > 300
    assert cli(drawn, *words, "--to", tmp_path / "sweep").exit_code == 1


def test_sweep_makes_its_files_before_it_draws_and_takes_them_away_when_it_fails(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        found.extend(sorted(path.name for path in (tmp_path / "new" / "sweep").iterdir()))
        raise BrokenPicture("NaN")

    found = list[str]()
    monkeypatch.setattr("sovgen.seeing.sweep.sweep", failing)
    words = ("sweep", "a cup", "--steps", 1, "--to")
    assert cli(drawn, *words, tmp_path / "new" / "sweep").exit_code == 1
    assert found == ["grid.png", "plot.png"] and list(tmp_path.iterdir()) == []
    (tmp_path / "plot.png").write_bytes(b"mine")
    taken = cli(drawn, *words, tmp_path)
    assert taken.exit_code == 1 and "plot.png: File exists" in taken.stderr
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_sweep_with_a_way_that_fails_writes_the_rest(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(model: Model, recipes: list[Recipe]) -> Iterator[Picture]:
        if recipes[0].steps == 2:
            raise BrokenPicture("NaN")
        return generate(model, [replace(recipe, steps=1) for recipe in recipes])

    monkeypatch.setattr("sovgen.seeing.sweep.generate", breaking)
    monkeypatch.setattr("sovgen.seeing.sweep._refuse_undrawable", lambda *_: None)
    words = ("--steps", "1,2", "--samplers", "ddim", "--count", 1, "--size", "64x64")
    done = cli(drawn, "sweep", "a cup", *words, "--to", tmp_path / "sweep", "--json")
    assert done.exit_code == 1
    assert re.search(r"2 steps of ddim, guidance [\d.]+: NaN", done.stderr)
    told = json.loads(done.stdout)
    assert [way["steps"] for way in told["ways"]] == [1, 64]
    assert [(way["steps"], way["why"]) for way in told["failed"]] == [(2, "NaN")]
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"grid.png", "plot.png"}


@pytest.mark.parametrize("option", ["--steps", "--guidance", "--samplers"])
@pytest.mark.parametrize("value", ["", "2,,4", " , "])
def test_sweep_of_an_empty_list_is_a_usage_mistake(
    cli: Cli, drawn: Path, tmp_path: Path, option: str, value: str
) -> None:
    done = cli(drawn, "sweep", "a cup", option, value, "--to", tmp_path / "sweep")
    assert done.exit_code == 2 and "is no list" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sweep_of_no_numbers_is_a_usage_mistake(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    done = cli(drawn, "sweep", "a cup", "--steps", "two", "--to", tmp_path)
    assert done.exit_code == 2 and "is no list" in done.stderr


@pytest.mark.parametrize(
    ("steps", "told"), [("64", "64 steps alone"), ("64,64", "64 steps alone"), ("2,0", "steps 0")]
)
def test_sweep_that_cannot_be_measured_is_refused_before_it_is_drawn(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: str, told: str
) -> None:
    drawings = list[object]()
    monkeypatch.setattr("sovgen.seeing.sweep._warm", lambda *given: drawings.append(given))
    done = cli(drawn, "sweep", "a cup", "--steps", steps, "--to", tmp_path / "sweep")
    assert done.exit_code == 2 and told in done.stderr and "Hint: " in done.stderr
    assert drawings == [] and list(tmp_path.iterdir()) == []


def test_best_of_keeps_one_and_names_the_others(cli: Cli, library: Path) -> None:
    words = ("a cup", "--best-of", 3, "--seed", 1, "--steps", 1, "--json")
    done = cli(library, "generate", *words)
    [kept] = json.loads(done.stdout)
    scores = {int(s): float(a) for s, a in re.findall(r"seed (\d) \((-?[\d.]+)\)", done.stderr)}
    assert set(scores) == {1, 2, 3}
    assert scores[kept["seed"]] == max(scores.values())
    assert Library.open(library).get(kept["id"]).adherence == pytest.approx(
        scores[kept["seed"]], abs=1e-3
    )


def test_choices_that_exclude_each_other_are_usage_mistakes(cli: Cli, drawn: Path) -> None:
    for words in (("--best-of", 2, "--until-adherence", 0.2), ("--at-most", 3)):
        assert cli(drawn, "generate", "a cup", *words).exit_code == 2
