"""Words that mean much the same find each other: learnt as pictures come, forgotten as they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from index import Library, Query, curate, lexical, meanings
from index.encoder import Encoder, load_encoder
from tests.index.conftest import new
from tests.index.given import Given

PROMPTS = ("a red apple", "a blue whale", "a snowman", "a violin")


@pytest.fixture(scope="module")
def bundled() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, bundled: Encoder) -> Library:
    made = Library.create(tmp_path_factory.mktemp("meanings") / "library", bundled)
    made.keep([new(n, prompt=prompt) for n, prompt in enumerate(PROMPTS)])
    return made


def learnt(library: Library) -> set[str]:
    table = f"meanings_{library.encoder.fingerprint[:16]}"
    with library.store.reading() as connection:
        return {word for (word,) in connection.execute(f"SELECT word FROM {table}").fetchall()}


@pytest.mark.parametrize(
    ("asked", "prompt", "word"),
    [
        ("fruit", "a red apple", "apple"),
        ("marine creature", "a blue whale", "whale"),
        ("winter", "a snowman", "snowman"),
        ("music", "a violin", "violin"),
    ],
)
def test_other_words_find_a_picture(drawn: Library, asked: str, prompt: str, word: str) -> None:
    hit = drawn.search(Query(asked, k=1, everything=True)).hits[0]
    assert hit.entry.prompt == prompt
    assert word in hit.words.values()


def test_near_words_are_a_match(drawn: Library) -> None:
    """As README.md has it."""
    hits = drawn.search(Query("fruit")).hits
    assert [hit.entry.prompt for hit in hits] == ["a red apple"]
    assert hits[0].words == {"fruit": "apple"}


def test_the_word_itself_counts_more_than_its_kin(drawn: Library) -> None:
    found = drawn.search(Query("apple", k=1))
    assert found.hits[0].words == {"apple": "apple"}
    assert found.hits[0].words_score == pytest.approx(lexical.WHOLE)


def test_made_up_words_match_nothing(drawn: Library) -> None:
    for text in ("blarf quonk", "zxqv", "ghjkl"):
        assert not drawn.search(Query(text)).hits


def test_words_alone_stay_literal(drawn: Library) -> None:
    assert not drawn.search(Query("fruit", mode="words")).hits


def test_what_is_to_be_avoided_is_meant_literally(drawn: Library, bundled: Encoder) -> None:
    hits = drawn.search(Query("apple", minus=("fruit",), everything=True)).hits
    assert next(h for h in hits if h.entry.prompt == PROMPTS[0]).words == {"apple": "apple"}


def test_every_word_is_learnt_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meanings, "MOST_LEARNT", 2)
    library.keep([new(0, prompt="a fox, a hen and 7 barns")])
    with library.store.reading() as connection:
        rows = connection.execute("SELECT DISTINCT word FROM words").fetchall()
    assert learnt(library) == {word for (word,) in rows if word.isalpha() and len(word) > 1}
    with library.store.writing() as connection:
        assert meanings.learn(connection, library.encoder, every=True) == 0


def test_notes_and_tags_are_learnt_with_the_next_picture(library: Library) -> None:
    (entry,) = library.keep([new(0, prompt="a fox")])
    curate.note(library, [entry.id], "grandmother")
    assert "grandmother" not in learnt(library)
    library.keep([new(1, prompt="a hen")])
    assert "grandmother" in learnt(library)


def test_going_over_to_another_encoder_learns_all_words(library: Library) -> None:
    library.keep([new(n, prompt=p) for n, p in enumerate(PROMPTS)])
    other = Given("other")
    library.reembed(other)
    assert learnt(Library.open(library.root, other)) >= {"apple", "whale", "snowman", "violin"}


def test_emptying_the_trash_forgets_words(library: Library) -> None:
    library.keep([new(0, prompt="a fox"), new(1, prompt="a secret fox")])
    library.delete([library.list(Query(where="prompt = 'a secret fox'"))[0].id])
    assert "secret" in learnt(library)
    library.empty_trash()
    assert learnt(library) & {"fox", "secret"} == {"fox"}


def test_a_library_from_before_answers_as_it_did(library: Library, tmp_path: Path) -> None:
    library.keep([new(0, prompt="a fox")])
    with library.store.writing() as connection:
        connection.execute(f"DROP TABLE meanings_{library.encoder.fingerprint[:16]}")
    assert library.search(Query("fox")).hits[0].words == {"fox": "fox"}
    library.reembed(library.encoder)
    assert "fox" in learnt(library)
