"""duplicates, dedup: what is held twice is told, and made one when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import PROMPTS, Cli


@pytest.fixture
def doubled(cli: Cli, library: Path, tmp_path: Path) -> Path:
    """The drawn library, and a JPEG of one of its pictures."""
    [path] = [p for p in (library / "pictures").rglob("*.png") if "apple" in p.name]
    with Image.open(path) as image:
        image.convert("RGB").save(tmp_path / "again.jpg", quality=80)
    assert cli(library, "add", tmp_path / "again.jpg").exit_code == 0
    return library


def test_each_copy_is_a_line(cli: Cli, doubled: Path) -> None:
    done = cli(doubled, "duplicates", "--kind", "near")
    assert done.exit_code == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [("near", "1")] * 2
    assert "apple" in rows[0][-1] and rows[1][-1].endswith(".jpg")
    assert cli(doubled, "duplicates", "--kind", "files", "--kind", "pixels").stdout == ""


def test_json_holds_the_groups(cli: Cli, doubled: Path) -> None:
    [group] = json.loads(cli(doubled, "duplicates", "--kind", "near", "--json").stdout)
    assert group["kind"] == "near" and len(group["copies"]) == 2
    assert set(group["copies"][0]) == {"id", "path", "bytes", "width", "height", "likeness"}


def test_dedup_asks_for_nothing_and_deletes_nothing_for_good(cli: Cli, doubled: Path) -> None:
    def count() -> int:
        return len(json.loads(cli(doubled, "list", "--json").stdout))

    would = cli(doubled, "dedup", "--dry-run")
    assert would.stderr.endswith("nothing was done yet.\n") and count() == len(PROMPTS) + 1
    done = cli(doubled, "dedup", "--json")
    assert done.stderr == "1 to the trash, 0 copies of files removed.\n" and count() == len(PROMPTS)
    [group] = json.loads(done.stdout)["near"]
    assert list((doubled / "trash" / group["copies"][1]["id"]).rglob("*.jpg"))
    assert cli(doubled, "duplicates", "--kind", "near").stdout == ""
