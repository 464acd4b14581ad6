"""Asking in many ways: modes, explanations, saved searches, notes and hidden sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from index import Library, Query
from index.saved import saved_search
from tests.cli.conftest import Cli, Loaded


def done(cli: Cli, root: Path, *words: object) -> str:
    result = cli(root, *words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def found(cli: Cli, root: Path, *words: object) -> list[str]:
    """The ids that a command lists, in its order."""
    return [entry["id"] for entry in json.loads(done(cli, root, *words, "--json"))]


@pytest.fixture
def ids(library: Path) -> list[str]:
    """A red apple, a yellow star, a blue fish."""
    entries = Library.open(library).list(Query(k=None))
    return [e.id for e in sorted(entries, key=lambda e: e.seq)]


def test_words_find_what_was_written(cli: Cli, library: Path, ids: list[str]) -> None:
    assert found(cli, library, "search", "apple", "--mode", "words") == [ids[0]]
    assert found(cli, library, "search", "aple", "--mode", "words") == [ids[0]]
    assert found(cli, library, "search", "yel fish", "--mode", "words") == [ids[2], ids[1]]
    assert found(cli, library, "search", "zeppelin", "--mode", "words") == []
    assert found(cli, library, "search", "the apple")[0] == ids[0]


def test_every_picture_can_be_compared_on_demand(cli: Cli, library: Path, ids: list[str]) -> None:
    """A library this small does so anyway, so that the answers are the same."""
    asked = ("search", "apple", "--all")
    assert found(cli, library, *asked, "--exact") == found(cli, library, *asked)
    done(cli, library, *asked, "--exact", "--save", "all of them")
    assert saved_search(Library.open(library), "all of them").exact


def test_a_picture_to_resemble_has_no_words(cli: Cli, library: Path, ids: list[str]) -> None:
    refused = cli(library, "search", "--like", ids[0], "--mode", "words")
    assert refused.exit_code == 1 and len(refused.stderr.splitlines()) == 2


def test_a_note_is_found_at_once_and_can_go(cli: Cli, library: Path, ids: list[str]) -> None:
    done(cli, library, "note", ids[2][:8], "for the zeppelin calendar")
    assert found(cli, library, "search", "zeppelin", "--mode", "words") == [ids[2]]
    assert "zeppelin calendar" in done(cli, library, "show", ids[2][:8])
    done(cli, library, "note", ids[2][:8], "")
    assert found(cli, library, "search", "zeppelin", "--mode", "words") == []


def test_a_caption_is_found_shown_and_filtered_by(cli: Cli, library: Path, ids: list[str]) -> None:
    done(cli, library, "caption", ids[1][:8], "a zeppelin over the sea")
    assert found(cli, library, "search", "zeppelin", "--mode", "words") == [ids[1]]
    assert found(cli, library, "list", "--where", "caption LIKE '%sea'") == [ids[1]]
    assert "zeppelin over the sea" in done(cli, library, "show", ids[1][:8])
    done(cli, library, "caption", ids[1][:8], "")
    assert found(cli, library, "search", "zeppelin", "--mode", "words") == []


def test_explain_shows_each_part_of_each_score(cli: Cli, library: Path, ids: list[str]) -> None:
    words = ("search", "red apple::2 night::-0.5", "--like", ids[0][:8], "--all", "--explain")
    text = done(cli, library, *words, "-k", 1)
    head, look, told = text.splitlines()
    assert head.split("\t")[0] == ids[0] and head.endswith("a red apple")
    assert all(term in look for term in ("red apple", "-night", ids[0][:8]))
    assert told.endswith("apple, red") and " 1 " in told
    [first, *_] = json.loads(done(cli, library, *words, "--json"))
    part = first["explanation"]
    assert set(part["look"]["cosines"]) == {"red apple", "-night", ids[0][:8]}
    assert part["words"].items() >= {"rank": 1, "score": 1}.items()
    assert part["words"]["matched"] == {"red": "red", "apple": "apple"}
    assert first["score"] == part["score"] and part["look"]["rank"] == 1
    assert abs(part["look"]["adds"] + part["words"]["adds"] - part["score"]) < 2e-6
    assert set(part["look"]["cosine_shares"]) == set(part["look"]["cosines"])


def test_searches_are_kept_and_asked_again(cli: Cli, library: Path, ids: list[str]) -> None:
    asked = ("search", "yellow fish", "--mode", "words", "--minus", "blue")
    first = found(cli, library, *asked, "--save", "my fish")
    assert found(cli, library, "search", "--saved", "my fish") == first == [ids[1]]
    assert found(cli, library, "search", "star", "--saved", "my fish", "--save", "stars") == [
        ids[1]
    ]
    assert found(cli, library, "search", "--saved", "my fish", "--mode", "both", "-k", 1, "--all")
    told = done(cli, library, "saved", "list").splitlines()
    assert told[0] == "my fish\ttext: yellow fish; minus: blue; mode: words"
    assert [s["name"] for s in json.loads(done(cli, library, "saved", "list", "--json"))] == [
        "my fish",
        "stars",
    ]
    done(cli, library, "saved", "rename", "my fish", "fish of mine")
    assert found(cli, library, "search", "--saved", "fish of mine") == first
    done(cli, library, "saved", "rename", "fish of mine", "my fish")
    done(cli, library, "saved", "delete", "my fish")
    gone = cli(library, "search", "--saved", "my fish")
    assert (
        gone.exit_code == 1 and gone.stderr.splitlines()[1] == "Hint: See them: sovgen saved list"
    )


def test_hidden_sets_show_only_when_they_are_asked_for(
    cli: Cli, library: Path, ids: list[str], tmp_path: Path
) -> None:
    done(cli, library, "set", "new", "private")
    done(cli, library, "set", "add", "private", ids[0][:8])
    done(cli, library, "set", "hide", "private")
    assert set(found(cli, library, "list")) == set(ids[1:])
    assert ids[0] not in found(cli, library, "search", "red apple", "--all")
    assert done(cli, library, "set", "list") == ""
    assert json.loads(done(cli, library, "library", "info", "--json"))["pictures"] == 2
    assert ids[0] not in done(cli, library, "sql", "FROM library")
    done(cli, library, "export", "--search", "red apple", "--all", "--to", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert not list((library / "thumbs").rglob(f"{ids[0]}*"))

    assert done(cli, library, "set", "list", "--hidden") == "private\t1\n"
    assert found(cli, library, "set", "show", "private") == [ids[0]]
    assert found(cli, library, "list", "--set", "private") == [ids[0]]
    assert found(cli, library, "search", "fruit", "--all", "--set", "private") == [ids[0]]
    done(cli, library, "search", "apple", "--set", "private", "--save", "mine")
    assert done(cli, library, "saved", "list") == ""
    assert done(cli, library, "saved", "list", "--hidden").startswith("mine\t")
    done(cli, library, "set", "unhide", "private")
    assert set(found(cli, library, "list")) == set(ids)


def test_words_alone_load_no_encoder(loaded: Loaded, drawn: Path) -> None:
    _, packages = loaded("--library", drawn, "search", "apple", "--mode", "words")
    assert not packages & {"torch", "tokenizers", "faiss"}
