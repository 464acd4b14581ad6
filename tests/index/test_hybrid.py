"""Hybrid search: looks and words in one ranking, equal to scoring every picture by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from index import BadQuery, Library, Query, curate, fusion, lexical, matching, meanings
from index.answer import Answer
from index.calibration import NEVER
from index.passing import Passing
from index.query import Mode, direction, terms_of
from tests.index.conftest import new, picture
from tests.index.given import Given

COUNT = 60
WORDS = ("fox", "hen", "snow", "night", "red", "barn")


def prompt(number: int) -> str | None:
    """Every fifth picture has none."""
    picked = [word for place, word in enumerate(WORDS) if number * 7 % (place + 2) == 0]
    return " ".join(picked) if number % 5 and picked else None


@pytest.fixture(scope="module")
def encoder() -> Given:
    return Given()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, encoder: Given) -> Library:
    made = Library.create(tmp_path_factory.mktemp("hybrid") / "library", encoder)
    made.keep([new(n, prompt=prompt(n), steps=n) for n in range(COUNT)])
    with made.store.writing() as connection:  # tags of an encoder that knows nothing
        connection.execute("DELETE FROM tags; DELETE FROM words WHERE word NOT IN ?", [[*WORDS]])
    return made


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that pictures lie beyond the depth of both rankings."""
    monkeypatch.setattr(fusion, "DEPTH", 8)


def seqs(answer: Answer) -> list[int]:
    return [hit.entry.seq for hit in answer.hits]


def by_hand(library: Library, encoder: Given, query: Query, passing: list[int]) -> list[int]:
    """Reciprocal ranks over all that passes, each ranking cut at its depth."""
    terms = terms_of(query)
    rows = encoder.encode_texts([term.text or "" for term in terms])
    aim = direction(terms, rows)
    looks = {n: float(encoder.encode_images([picture(n - 1)])[0] @ aim) for n in passing}
    with library.store.reading() as connection:
        kin = partial(meanings.near, connection, encoder)
        found = lexical.find(connection, terms, Passing(np.array(passing, np.int64)), kin)
    words = dict(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))
    assert query.k is not None
    depth = max(query.k, fusion.DEPTH)
    near = sorted(passing, key=lambda n: (-looks[n], n))[:depth]
    totals = {}
    for n in passing:
        by_look = 1 + sum(looks[m] > looks[n] for m in near)
        total = fusion.LOOKS_WEIGHT / (fusion.K + by_look) if n in near else 0.0
        if n in words:
            by_word = 1 + sum(score > words[n] for score in words.values())
            total += words[n] * fusion.WORDS_WEIGHT / (fusion.K + by_word)
        totals[n] = total
    order = sorted(passing, key=lambda n: (-round(totals[n], 6), -looks[n], n))
    return [n for n in order if totals[n] > 0][: query.k]


@pytest.mark.parametrize("text", ["fox", "red fox night", "hen::2 snow::-1", "fxo barn", "snow"])
@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("where", [None, "steps % 3 = 0", "prompt IS NULL", "steps = 7"])
def test_both_is_what_scoring_every_picture_gives(
    library: Library, encoder: Given, text: str, k: int, where: str | None
) -> None:
    query = Query(text, k=k, where=where, everything=True, mode="both")
    passing = [e.seq for e in library.list(Query(k=None, where=where))]
    answer = library.search(query)
    if answer.mode == "both":
        assert seqs(answer) == by_hand(library, encoder, query, sorted(passing))
        assert all(0 <= hit.score <= 1 for hit in answer.hits)
    else:
        assert seqs(answer) == seqs(library.search(Query(text, k=k, where=where, everything=True)))
    assert set(seqs(answer)) <= set(passing)


def test_without_the_words_the_look_alone_decides(library: Library) -> None:
    answers = {
        mode: library.search(Query("zebra", everything=True, mode=mode))
        for mode in ("both", "pixels")
    }
    assert answers["both"].mode == "pixels"
    assert answers["both"].hits == answers["pixels"].hits


@pytest.mark.parametrize("mode", ["words", "both"])
def test_no_limit_shows_every_picture_with_the_words(library: Library, mode: Mode) -> None:
    answer = library.search(Query("fox", k=None, everything=True, mode=mode))
    having = {n + 1 for n in range(COUNT) if "fox" in (prompt(n) or "")}
    assert set(seqs(answer)[: len(having)]) == having
    assert len(answer.hits) == (COUNT if mode == "both" else len(having))


def test_words_alone_ask_no_encoder(library: Library) -> None:
    blind = Library(library.root)  # its recorded encoder is nowhere on this machine
    answer = blind.search(Query("red fox", mode="words"))
    assert answer.matched and answer.hits[0].words == {"red": "red", "fox": "fox"}
    assert answer.hits[0].score == pytest.approx(1.0) and answer.hits[0].parts == {}


def test_among_equal_words_the_newest_comes_first(library: Library) -> None:
    found = library.search(Query("fox", mode="words", k=None)).hits
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert [h.entry.seq for h in found] == sorted((h.entry.seq for h in found), reverse=True)


def test_a_hit_tells_each_part_of_its_score(library: Library) -> None:
    hit = library.search(Query("red fox::2 barn::-0.5", k=1, mode="both")).hits[0]
    assert set(hit.parts) == {"red fox", "-barn"} and hit.words_rank >= 1
    assert set(hit.words) <= {"red", "fox", "barn"} and 0 < hit.words_score <= 1
    looked = hit.looks_rank and fusion.LOOKS_WEIGHT / (fusion.K + hit.looks_rank)
    told = hit.words_score * fusion.WORDS_WEIGHT / (fusion.K + hit.words_rank) + looked
    best = (fusion.LOOKS_WEIGHT + fusion.WORDS_WEIGHT) / (fusion.K + 1)
    assert hit.score == pytest.approx(told / best)


@pytest.mark.parametrize("mode", ["pixels", "words", "both"])
def test_the_parts_of_a_score_add_up_to_it(
    library: Library, encoder: Given, mode: Mode, tmp_path: Path
) -> None:
    """Several pictures and words together, by id and by file, with weights and without."""
    first, second = library.list(Query(k=2))
    like = () if mode == "words" else (first.id, second.path)
    text = "red fox::2 barn::-0.5" if mode == "words" else "red fox::2 barn::-0.5 red fox"
    query = Query(text, like=like, minus=("snow",), k=None, everything=True, mode=mode)
    answer = library.search(query)
    assert answer.mode == mode and len(answer.hits) > 5
    terms = terms_of(query)
    for hit in answer.hits:
        assert hit.looks_share + hit.words_share == pytest.approx(hit.score, abs=1e-6)
        if mode == "words":
            continue
        seen = encoder.encode_images([picture(hit.entry.seq - 1)])[0]
        rows = [
            encoder.encode_texts([term.text])[0]
            if term.text is not None
            else encoder.encode_images([picture(each.seq - 1)])[0]
            for term, each in zip(terms, [first] * 3 + [first, second, first], strict=True)
        ]
        cosine = float(direction(terms, np.stack(rows)) @ seen)
        assert sum(hit.shares.values()) == pytest.approx(cosine, abs=1e-5)
        assert mode == "both" or hit.score == pytest.approx(cosine, abs=1e-5)


def test_a_picture_to_resemble_has_no_words(library: Library) -> None:
    with pytest.raises(BadQuery):
        Query("fox", like=("abcd",), mode="words")
    first = library.list(Query(k=1))[0]
    assert library.search(Query(like=(first.id,))).mode == "pixels"
    assert library.search(Query("fox", like=(first.id,))).mode == "both"


def test_most_of_the_words_make_a_match_of_any_look(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "match_floor", lambda *_: NEVER)  # no look is good enough
    assert not library.search(Query("red fox", mode="pixels")).matched
    for text in ("red fox", "snwo"):
        answer = library.search(Query(text, k=None, mode="both"))
        assert answer.matched and answer.hits
        assert all(hit.words_score >= lexical.STRONG for hit in answer.hits)
    weak = library.search(Query("fox qqqq zzzz wwww", mode="both"))
    assert not weak.matched and not weak.hits
    shown = library.search(Query("fox qqqq zzzz wwww", mode="both", everything=True))
    assert not shown.matched and len(shown.hits) == 20


def test_notes_and_tags_are_found_at_once(tmp_path: Path, encoder: Given) -> None:
    library = Library.create(tmp_path / "library", encoder)
    entries = library.keep([new(1), new(2), new(3)])
    curate.tag(library, [entries[0].id], ["zeppelin"])
    curate.note(library, [entries[1].id], "like a zeppelin over Bodensee")
    assert set(seqs(library.search(Query("zeppelin", mode="words")))) == {1, 2}
    curate.untag(library, [entries[0].id], ["zeppelin"])
    curate.note(library, [entries[1].id], "")
    assert not library.search(Query("zeppelin", mode="words")).matched
