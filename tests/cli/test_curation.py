"""add, tag, rate, set, export, delete: what people do with pictures they have."""

from __future__ import annotations

import csv
import getpass
import hashlib
import json
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from index import Library, Query
from tests.cli.conftest import PROMPTS, Cli


def listed(cli: Cli, root: Path, *words: object) -> list[dict[str, object]]:
    done = cli(root, "list", "--json", *words)
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def done(cli: Cli, root: Path, *words: object) -> str:
    result = cli(root, *words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def ids(library: Path) -> list[str]:
    return [e.id for e in Library.open(library).list(Query(k=None))]


@pytest.mark.parametrize("mode", ["--copy", "--move", "--in-place"])
def test_add_copies_moves_or_leaves(cli: Cli, library: Path, tmp_path: Path, mode: str) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for n in range(2):
        Image.new("RGB", (20, 20), (n, 90, 200)).save(tmp_path / "in" / "deep" / f"{n}.png")
    report = json.loads(done(cli, library, "add", tmp_path / "in", mode, "--json"))
    ids = [str(entry["id"]) for entry in listed(cli, library, "-k", 2)]
    assert sorted(report.pop("ids")) == sorted(ids)
    assert report == {"added": 2, "known": 0, "failed": []}
    assert len(list((tmp_path / "in" / "deep").glob("*.png"))) == (0 if mode == "--move" else 2)
    places = [Path(str(e["path"])) for e in listed(cli, library, "-k", 2)]
    inside = [p.is_relative_to(library) for p in places]
    assert inside == [mode != "--in-place"] * 2
    assert all(p.is_file() for p in places)


def test_add_tells_a_person_how_many(cli: Cli, library: Path, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "navy").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    said = cli(library, "add", tmp_path / "a.png", tmp_path / "b.png")
    assert said.exit_code == 0
    assert said.stdout == "1 added, 0 known, 1 failed\n"
    assert said.stderr.startswith(str(tmp_path / "b.png"))


def test_tags_by_hand_come_and_go(cli: Cli, library: Path, ids: list[str]) -> None:
    done(cli, library, "tag", ids[0][:8], "favourite", "winter")
    assert [e["id"] for e in listed(cli, library, "--tag", "favourite")] == [ids[0]]
    done(cli, library, "tag", ids[0][:8], "winter", "--remove")
    assert listed(cli, library, "--tag", "winter") == []
    assert [e["id"] for e in listed(cli, library, "--tag", "favourite")] == [ids[0]]


def test_ratings_are_kept_and_asked_for(cli: Cli, library: Path, ids: list[str]) -> None:
    done(cli, library, "rate", ids[0][:8], ids[1][:8], 4)
    done(cli, library, "rate", ids[1][:8], 1)
    assert [e["id"] for e in listed(cli, library, "--where", "rating >= 4")] == [ids[0]]


def test_sets_keep_their_order(cli: Cli, library: Path, ids: list[str]) -> None:
    done(cli, library, "set", "new", "fruit")
    done(cli, library, "set", "add", "fruit", ids[2][:8], ids[0][:8], ids[1][:8])
    shown = json.loads(done(cli, library, "set", "show", "fruit", "--json"))
    assert [e["id"] for e in shown] == [ids[2], ids[0], ids[1]]
    done(cli, library, "set", "remove", "fruit", ids[0][:8])
    assert done(cli, library, "set", "list") == "fruit\t2\n"
    assert json.loads(done(cli, library, "set", "list", "--json"))[0]["name"] == "fruit"
    again = cli(library, "set", "new", "fruit")
    assert again.exit_code == 1 and "fruit" in again.stderr


def test_sets_are_put_in_order_and_unmade(cli: Cli, library: Path, ids: list[str]) -> None:
    for words in (("new", "mine"), ("add", "mine", *ids), ("add", "mine", ids[2][:8], "--at", 1)):
        assert cli(library, "set", *words).exit_code == 0
    shown = json.loads(cli(library, "set", "show", "mine", "--json").stdout)
    assert [e["id"] for e in shown] == [ids[2], ids[0], ids[1]]
    assert cli(library, "set", "delete", "mine").exit_code == 0
    assert cli(library, "set", "list").stdout == ""
    assert len(Library.open(library).list(Query(k=None))) == 3


def test_what_changes_or_finds_nothing_says_so(cli: Cli, library: Path, ids: list[str]) -> None:
    def told(*words: str) -> str:
        done = cli(library, *words)
        assert (done.exit_code, done.stdout) == (0, ""), done.output
        assert cli(library, *words, "--json").stdout in ("[]\n", "")
        return done.stderr

    id = ids[0][:8]
    for words in (("trash", "list"), ("saved", "list"), ("set", "list"), ("duplicates",)):
        assert told(*words) == "Nothing to list.\n"
    assert told("list", "--tag", "nosuch") == "Nothing to list.\n"
    assert told("set", "new", "fruit") == ""
    assert told("set", "show", "fruit") == "Nothing to list.\n"
    assert "holds none of them" in told("set", "remove", "fruit", id)
    assert told("set", "add", "fruit", id) == ""
    assert "holds them already" in told("set", "add", "fruit", id)
    assert "none of these tags" in told("tag", id, "nosuch", "--remove")
    cli(library, "tag", id, "mine")
    assert "these tags already" in told("tag", id, "mine")


def test_a_missing_set_is_told_with_the_nearest_that_may_be_seen(
    cli: Cli, library: Path, ids: list[str], tmp_path: Path
) -> None:
    for name in ("fruit", "fruits"):
        cli(library, "set", "new", name)
    cli(library, "set", "hide", "fruits")
    for words in (
        ("set", "delete", "fruitz"),
        ("set", "show", "fruitz"),
        ("list", "--set", "fruitz"),
        ("export", "--set", "fruitz", "--to", tmp_path / "out"),
    ):
        hint = cli(library, *words).stderr.splitlines()[-1]
        assert hint == "Hint: Did you mean 'fruit'? See them: sovgen set list"
    assert "make it: sovgen set new" in cli(library, "set", "add", "fruitz", ids[0]).stderr


def test_delete_moves_to_the_trash(cli: Cli, library: Path, ids: list[str]) -> None:
    said = cli(library, "delete", ids[0][:8])
    assert said.exit_code == 0
    assert said.stderr == "Moved 1 to the trash.\n"
    assert ids[0] not in [e["id"] for e in listed(cli, library)]
    assert len(list((library / "trash").rglob("*.png"))) == 1
    assert done(cli, library, "library", "verify") == ""


def test_one_wrong_id_among_several_deletes_nothing(
    cli: Cli, library: Path, ids: list[str]
) -> None:
    assert cli(library, "delete", ids[0][:8], "zzzzzzzz").exit_code == 1
    assert len(listed(cli, library)) == 3


@pytest.mark.parametrize("shape", ["folder", "csv", "jsonl", "parquet", "sheet"])
def test_export_tells_nobody_where_it_came_from(
    cli: Cli, drawn: Path, tmp_path: Path, shape: str
) -> None:
    out = tmp_path / "out"
    done(cli, drawn, "export", "--search", "fruit", "--all", "--to", out, "--format", shape)
    files = [p for p in out.rglob("*") if p.is_file()]
    assert files
    secrets = {*PROMPTS, socket.gethostname(), str(drawn), str(Path.home()), getpass.getuser()}
    for path in files:
        told = str(path.relative_to(out)).encode() + path.read_bytes()
        assert not [s for s in secrets if len(s) > 4 and s.encode() in told], path


def test_export_writes_pictures_in_order_with_a_manifest(
    cli: Cli, library: Path, ids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chosen = [ids[2], ids[0]]
    words = ("export", "--ids", ",".join(i[:8] for i in chosen), "--to", out)
    done(cli, library, *words, "--format", "csv", "--metadata", "prompt")
    assert sorted(p.name for p in out.glob("*.png")) == ["000001.png", "000002.png"]
    with (out / "metadata.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["prompt"] for row in rows] == [PROMPTS[0], PROMPTS[2]]
    manifest = json.loads((out / "manifest.json").read_text())
    for file in (*rows, *manifest["files"]):
        name = file.get("file_name") or file["name"]
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == file["sha256"]


def test_export_of_a_set_follows_the_set(
    cli: Cli, library: Path, ids: list[str], tmp_path: Path
) -> None:
    done(cli, library, "set", "new", "two")
    done(cli, library, "set", "add", "two", ids[1][:8], ids[0][:8])
    said = cli(library, "export", "--set", "two", "--to", tmp_path / "out")
    assert said.exit_code == 0
    assert said.stderr == f"Exported 2 to {tmp_path / 'out'}.\n"
    assert len(os.listdir(tmp_path / "out")) >= 2
