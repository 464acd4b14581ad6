"""Lexical: words found whole, as beginnings and with one typo, weighed by rarity, filtered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import lexical, words
from index.passing import Passing, every
from index.query import Query, terms_of

PROMPTS = {
    1: "a red fox in the snow",
    2: "a red car",
    3: "foxes at night",
    4: "an elephant, ELEPHANT!",
    5: "Caf\u00e9 \u65e5\u672c\u306e\u5c71",
    6: None,
}


@pytest.fixture(scope="module")
def shelf() -> Iterator[duckdb.DuckDBPyConnection]:
    with shelved(PROMPTS) as connection:
        yield connection


def shelved(prompts: Mapping[int, str | None]) -> duckdb.DuckDBPyConnection:
    """The tables that hold what is written of pictures, in memory."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE pictures (seq BIGINT); CREATE TABLE words (picture BIGINT, word VARCHAR);"
        "CREATE TABLE makings (picture BIGINT, newest BOOLEAN, prompt VARCHAR);"
        "CREATE TABLE tags (picture BIGINT, tag VARCHAR);"
        "CREATE TABLE curation (picture BIGINT, note VARCHAR, caption VARCHAR)"
    )
    for number, prompt in prompts.items():
        connection.execute("INSERT INTO pictures VALUES (?)", [number])
        connection.execute("INSERT INTO makings VALUES (?, true, ?)", [number, prompt])
    words.renew(connection)
    return connection


def scores(
    connection: duckdb.DuckDBPyConnection, text: str, allowed: list[int] | None = None
) -> dict[int, float]:
    passing = every() if allowed is None else Passing(np.array(allowed, np.int64))
    found = lexical.find(connection, terms_of(Query(text)), passing)
    return dict(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))


def best(connection: duckdb.DuckDBPyConnection, text: str) -> dict[str, str]:
    found = lexical.find(connection, terms_of(Query(text)), every())
    return found.matched(int(found.numbers[found.scores.argmax()]))


def test_whole_words_count_more_than_beginnings(shelf: duckdb.DuckDBPyConnection) -> None:
    found = scores(shelf, "fox")
    assert found == {1: pytest.approx(1.0), 3: pytest.approx(lexical.BEGINNING)}


def test_rare_words_count_more_than_common_ones(shelf: duckdb.DuckDBPyConnection) -> None:
    found = scores(shelf, "red car snow")
    rarity = {n: math.log1p((6 - n + 0.5) / (n + 0.5)) for n in (1, 2)}
    total = 2 * rarity[1] + rarity[2]
    assert found[1] == pytest.approx((rarity[1] + rarity[2]) / total)
    assert found[2] == pytest.approx((rarity[1] + rarity[2]) / total)
    assert scores(shelf, "red snow")[1] > scores(shelf, "red snow")[2]


@pytest.mark.parametrize("typo", ["elepant", "elephannt", "elephent", "elehpant"])
def test_one_typo_is_forgiven_where_no_picture_has_the_word(
    shelf: duckdb.DuckDBPyConnection, typo: str
) -> None:
    assert scores(shelf, typo) == {4: pytest.approx(lexical.TYPO)}
    assert best(shelf, typo) == {typo: "elephant"}


@pytest.mark.parametrize("text", ["elepan", "cat", "fux", "elxphxnt", "zebra", "\U0001f98a", ";"])
def test_two_typos_and_short_words_are_not_forgiven(
    shelf: duckdb.DuckDBPyConnection, text: str
) -> None:
    assert scores(shelf, text).keys() <= ({4} if text == "elepan" else set())


def test_a_word_that_pictures_have_is_no_typo_of_another() -> None:
    with shelved({1: "a goat", 2: "a boat"}) as connection:
        assert scores(connection, "boat").keys() == {2}
        assert scores(connection, "coat").keys() == {1, 2}


def test_function_words_count_only_when_there_is_nothing_else(
    shelf: duckdb.DuckDBPyConnection,
) -> None:
    assert scores(shelf, "a car in the snow").keys() == {1, 2}
    assert scores(shelf, "the").keys() == {1}


@pytest.mark.parametrize("text", ["cafe", "CAF\u00c9", "cafe\u0301", "\u65e5\u672c", "\u5c71"])
def test_accents_case_and_scripts_without_spaces_are_met(
    shelf: duckdb.DuckDBPyConnection, text: str
) -> None:
    assert scores(shelf, text).keys() == {5}


def test_weights_are_those_of_the_terms(shelf: duckdb.DuckDBPyConnection) -> None:
    found = scores(shelf, "red::1 night::3 car::-2")
    assert found.keys() == {1, 3}
    assert found[3] > found[1]


def test_what_does_not_pass_counts_for_nothing(shelf: duckdb.DuckDBPyConnection) -> None:
    """A filtered search is the search of a library that holds nothing else."""
    some = {number: PROMPTS[number] for number in (2, 3, 6)}
    with shelved(some) as alone:
        for text in ("red fox", "fox night", "elephant", "snw car"):
            assert scores(shelf, text, sorted(some)) == scores(alone, text)
    assert scores(shelf, "fox", []) == {}


def test_a_query_of_ten_thousand_words_is_answered(shelf: duckdb.DuckDBPyConnection) -> None:
    text = "fox " + " ".join(f"word{n}" for n in range(10_000))
    assert len(lexical.asked_words(shelf, terms_of(Query(text)))) == lexical.MOST_WORDS
    assert scores(shelf, text).keys() == {1, 3}


ALPHABET = st.text("abc", min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(ALPHABET, min_size=1, max_size=8), ALPHABET)
def test_the_score_of_one_word_is_that_of_comparing_every_word(
    known: list[str], asked: str
) -> None:
    with shelved(dict(enumerate(known, 1))) as connection:
        found = scores(connection, asked)
    close = {n: closeness(asked, word) for n, word in enumerate(known, 1)}
    if not any(close.values()) and len(asked) >= lexical.SHORTEST_TYPO:
        close = {n: lexical.TYPO * is_typo(asked, word) for n, word in enumerate(known, 1)}
    assert found == {n: pytest.approx(value) for n, value in close.items() if value}


def closeness(asked: str, word: str) -> float:
    if asked == word:
        return lexical.WHOLE
    begins = word.startswith(asked) and len(asked) >= lexical.SHORTEST_BEGINNING
    return lexical.BEGINNING if begins else 0.0


def is_typo(one: str, other: str) -> bool:
    """Whether one edit makes one word the other: every edit is tried."""
    edits = {one[:i] + c + one[i:] for i in range(len(one) + 1) for c in "abc"}
    edits |= {one[:i] + c + one[i + 1 :] for i in range(len(one)) for c in "abc"}
    edits |= {one[:i] + one[i + 1 :] for i in range(len(one))}
    edits |= {one[:i] + one[i + 1] + one[i] + one[i + 2 :] for i in range(len(one) - 1)}
    return other in edits
