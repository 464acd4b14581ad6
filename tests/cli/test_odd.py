"""Odd input works as a person would expect, or says one clear line; nothing else stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index import Library
from index.record import read_picture
from tests.cli.conftest import Cli
from tests.cli.test_errors import png as head_of_png
from tests.cli.test_errors import refused

RAW_NAME = b"odd-\xff\xfe.png"
ODD = {"bomb.png": "pixels", "text.png": "not a picture", "cut.png": ""}


def noise(seed: int, mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures as cameras, programs and accidents leave them, and one plain one."""
    folder = tmp_path_factory.mktemp("odd")
    noise(0).save(folder / "plain.png")
    frames = [noise(n) for n in (1, 2, 3)]
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    noise(4).convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.random.default_rng(5).integers(0, 65535, (32, 48), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    turned = noise(6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned.save(folder / "rotated.jpg", exif=exif)
    palette = noise(7).quantize(16)
    palette.save(folder / "palette.png", transparency=3)
    noise(8).save(folder / "raw.png")
    os.rename(folder / "raw.png", os.path.join(os.fsencode(folder), RAW_NAME))
    (folder / "text.png").write_text("not a picture")
    (folder / "bomb.png").write_bytes(head_of_png(60_000, 60_000))
    whole = (folder / "plain.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture, and nobody says that it is one")
    return folder


@pytest.fixture(scope="module")
def report(
    drawn: Path, folder: Path, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, object]]:
    """The library that one `add` of the folder made, and what it said."""
    root = tmp_path_factory.mktemp("odd library") / "library"
    command = [sys.executable, "-m", "sovgen", "--library", str(root), "add"]
    command += [str(folder), "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return root, told


def test_every_picture_goes_in_and_what_is_none_is_named(
    report: tuple[Path, dict[str, object]],
) -> None:
    root, told = report
    assert (told["added"], told["known"]) == (7, 0)
    failed = {Path(f["path"]).name: f["reason"] for f in told["failed"]}  # type: ignore[attr-defined]
    assert set(failed) == set(ODD)
    for name, part in ODD.items():
        assert part in failed[name] and "\n" not in failed[name] and len(failed[name]) < 200
    assert not Library.open(root).verify()


def test_each_stands_as_what_it_is(
    cli: Cli, report: tuple[Path, dict[str, object]], folder: Path
) -> None:
    root, _ = report
    listed = {e["id"]: e for e in json.loads(cli(root, "list", "--json").stdout)}
    for path in (p for p in folder.iterdir() if p.suffix != ".txt" and p.name not in ODD):
        record, _ = read_picture(path)
        entry = listed[record.id]
        shape = (entry["width"], entry["height"])
        assert shape == ((32, 48) if path.name == "rotated.jpg" else (48, 32))
        assert entry["frames"] == (3 if path.name == "animated.webp" else 1)
        like = cli(root, "search", "--like", path, "--all", "-k", 1, "--json")
        assert [hit["id"] for hit in json.loads(like.stdout)] == [record.id], path
        shown = cli(root, "show", record.id[:12])
        assert shown.exit_code == 0 and record.id in shown.stdout


def test_all_of_them_leave_again_as_they_came(
    cli: Cli, report: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    root, _ = report
    assert cli(root, "set", "new", "all").exit_code == 0
    ids = [e["id"] for e in json.loads(cli(root, "list", "--json").stdout)]
    assert cli(root, "set", "add", "all", *ids).exit_code == 0
    done = cli(root, "export", "--set", "all", "--to", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    written = [p for p in (tmp_path / "out").iterdir() if p.suffix in (".png", ".jpg", ".webp")]
    assert {read_picture(p)[0].id for p in written} == set(ids)


@pytest.mark.parametrize(
    "words",
    [["🦊🎨" * 20], ["word " * 10_000], ["a::2 " * 300], ["\u202e\u0301x"], ["-"], ["%s {0} \\"]],
    ids=["emoji", "10,000 words", "300 weights", "marks", "minus", "formats"],
)
def test_any_words_are_an_answer(cli: Cli, drawn: Path, words: Sequence[str]) -> None:
    done = cli(drawn, "search", "--all", "--json", "--", *words)
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)) == 3


@pytest.mark.parametrize("words", [[""], [" \n\t"], [], ["--minus", "x"]])
def test_nothing_to_look_for_is_one_clear_line(cli: Cli, drawn: Path, words: Sequence[str]) -> None:
    done = cli(drawn, "search", *words)
    if done.exit_code == 1:
        refused(done)
    else:  # a usage mistake, as click tells it
        assert done.exit_code == 2 and done.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    "predicate",
    [
        "seed > 1;",
        "seed > 1; DROP TABLE pictures",
        "1) OR (1=1; --",
        "seed > 1 UNION SELECT 1",
        "seed IN (SELECT seq FROM pictures)",
        "sleep_ms(100000) IS NULL",
        "write_log('x') IS NULL",
        "'" * 3,
        "🦊",
        "\x00",
        " OR ".join(["seed = 1"] * 20_000),
    ],
    ids=lambda text: text[:20].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_single_condition_is_one_clear_line(
    cli: Cli, drawn: Path, predicate: str
) -> None:
    before = (drawn / "library.duckdb").read_bytes()
    refused(cli(drawn, "list", "--where", predicate), "condition")
    refused(cli(drawn, "search", "fish", "--where", predicate), "condition")
    assert (drawn / "library.duckdb").read_bytes() == before
