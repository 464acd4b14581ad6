"""Query: words, weights and likeness make one direction; predicates and dates filter safely."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count

import numpy as np
import pytest

from index import BadQuery, Library, NoSuchPicture, NoSuchSet, Query, UnreadableImage, curate
from index.matching import match_floor
from index.query import Term, direction, terms_of
from index.view import COLUMNS
from tests.index.conftest import new, picture
from tests.index.given import Given
from tests.index.rows import EVERY_SETTING


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a red fox", [("a red fox", 1.0)]),
        ("cat::2 night::-0.5", [("cat", 2.0), ("night", -0.5)]),
        ("a  big\ncat::.5 on a roof", [("a big cat", 0.5), ("on a roof", 1.0)]),
        ("std::vector", [("std::vector", 1.0)]),
        ("cat::1e999", [("cat::1e999", 1.0)]),
        ("ratio 3::2", [("ratio 3", 2.0)]),
        ("cat::2, night:: -0.5; a barn,", [("cat", 2.0), ("night", -0.5), ("a barn,", 1.0)]),
        ("a:: +1 b ::.5", [("a", 1.0), ("b", 0.5)]),
        ("🦊🌲", [("🦊🌲", 1.0)]),
    ],
)
def test_weights_are_read_from_the_text(text: str, terms: list[tuple[str, float]]) -> None:
    assert [(t.text, t.weight) for t in terms_of(Query(text))] == terms


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(""),
        Query("  \n "),
        Query("::2"),
        Query("cat::0"),
        Query(minus=(" ",)),
    ],
)
def test_nothing_to_look_for_is_said_in_one_line(query: Query) -> None:
    with pytest.raises(BadQuery) as caught:
        terms_of(query)
    assert "\n" not in caught.value.message and caught.value.hint


def test_fewer_than_one_result_cannot_be_asked_for() -> None:
    with pytest.raises(BadQuery):
        Query("fox", k=0)


def test_the_direction_is_the_weighted_sum_made_unit() -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    terms = [Term(2.0, text="a"), Term(1.0, like="b"), Term(-2.0, text="c")]
    assert direction(terms, vectors) == pytest.approx(np.array([2, 1, -2]) / 3)


def test_parts_that_cancel_each_other_out_are_refused() -> None:
    same = np.array([[0.6, 0.8], [0.6, 0.8]], np.float32)
    with pytest.raises(BadQuery, match="cancel"):
        direction([Term(1.0, text="a"), Term(-1.0, text="b")], same)


def test_words_point_to_what_they_mean_and_minus_away_from_it(
    library: Library, encoder: Given
) -> None:
    fox, night = library.keep([new(1), new(2)])
    encoder.teach("fox", picture(1))
    encoder.teach("night", picture(2))
    hits = library.search(Query("fox", minus=("night",), everything=True)).hits
    assert [h.entry.id for h in hits] == [fox.id, night.id]
    assert hits[0].parts["fox"] == pytest.approx(1.0, abs=1e-6)
    assert hits[1].parts["-night"] == pytest.approx(1.0, abs=1e-6)
    weighted = library.search(Query("fox::0.1 night::3", everything=True)).hits
    assert weighted[0].entry.id == night.id


def test_a_picture_is_like_itself_by_id_and_by_file(library: Library, tmp_path: object) -> None:
    kept = library.keep([new(n) for n in range(5)])
    by_id = library.search(Query(like=(kept[3].id[:8],))).hits
    by_file = library.search(Query(like=(kept[3].path,))).hits
    assert by_id[0].entry == by_file[0].entry == kept[3]
    assert by_id[0].score == pytest.approx(1.0, abs=1e-6)
    assert library.search(Query(like=(kept[1].id, kept[2].id))).hits[0].entry in kept[1:3]


def test_likeness_by_id_needs_no_encoder(library: Library) -> None:
    kept = library.keep([new(1)])
    without = Library.open(library.root)  # the recorded source is no folder of this machine
    assert without.search(Query(like=(kept[0].id,))).hits[0].entry == kept[0]


def test_what_is_neither_id_nor_picture_is_said(library: Library) -> None:
    with pytest.raises(NoSuchPicture):
        library.search(Query(like=("zzzzzz",)))
    with pytest.raises(UnreadableImage, match="no such file"):
        library.search(Query(like=("nothing.png",)))


def test_below_the_floor_nothing_matches_unless_everything_is_asked_for(
    library: Library, encoder: Given
) -> None:
    library.keep([new(1), new(2)])
    nonsense = next(
        t for t in map(str, count()) if match_floor(encoder, encoder.encode_texts([t])[0]) > 1
    )
    answer = library.search(Query(nonsense))
    assert (answer.hits, answer.matched) == ([], False)
    shown = library.search(Query(nonsense, everything=True))
    assert len(shown.hits) == 2 and not shown.matched
    assert shown.floor == answer.floor > max(h.score for h in shown.hits)


@pytest.mark.parametrize(
    "text", ["🦊" * 50, "word " * 10_000, "\x00\x01", "ﷺ" * 300, "a::2 " * 500]
)
def test_strange_words_are_searched_like_any_other(library: Library, text: str) -> None:
    library.keep([new(1)])
    assert len(library.search(Query(text, everything=True)).hits) == 1


@pytest.mark.parametrize(
    ("where", "seeds"),
    [
        ("seed = 2", [2]),
        ("steps BETWEEN 11 AND 12", [2, 1]),
        ("prompt ILIKE '%NUMBER 3%' OR seed = 0", [3, 0]),
        ("prompt = 'a; b -- c' ", []),
        ("list_contains(tags, 'mine') AND rating IS NULL", [1]),
        ("'a;b' = 'a;b' AND seed=1 -- the last word", [1]),
        ("guidance > 2.5", [3]),
        ("added::DATE = current_date OR true", [3, 2, 1, 0]),
        ("width = 16 AND height = 16 AND media = 'image/png' AND frames = 1", [3, 2, 1, 0]),
        ("seed", [3, 2, 1]),  # to DuckDB a number is a condition: other than nought
        ("kind IS NOT NULL AND bytes > 10 AND made IS NULL", [3, 2, 1, 0]),
    ],
)
def test_every_typed_column_filters(curated: Library, where: str, seeds: list[int]) -> None:
    assert [e.seed for e in curated.list(Query(where=where))] == seeds
    found = curated.search(Query("x", where=where, everything=True)).hits
    assert sorted(h.entry.seed or 0 for h in found) == sorted(seeds)


def literal(value: object) -> str:
    """A value as SQL writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value}'"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def test_every_documented_column_filters(library: Library) -> None:
    """By each of its values, those that have it and no others, in listings and in searches."""
    told = {name: f"its {name}" for name in "model model_hash sampler device dtype".split()}
    told |= {name: name for name in "negative encoder_match safety".split()}
    full = {"prompt": "it's a fox", "guidance": 1.5, "steps": 3, "seed": 2**64 - 1, "duration": 2.5}
    made = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    full_one = new(1, **told, **full, made=made, settings=dict(EVERY_SETTING))
    kept = library.keep([full_one, new(300), new(600, prompt="a hen", steps=4)])
    curate.tag(library, [kept[0].id], ["mine"])
    curate.rate(library, [kept[0].id], 4)
    curate.note(library, [kept[0].id], "a note")
    curate.caption(library, [kept[0].id], "a caption")
    curate.new_set(library, "best")
    curate.add_to_set(library, "best", [kept[0].id])
    with library.store.reading() as connection:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM library ORDER BY seq")
        values = dict(zip(COLUMNS, zip(*rows.fetchall(), strict=True), strict=True))
    for name, column in values.items():
        assert column[0] is not None, name
        for value in column:
            where = f"{name} IS NULL" if value is None else f"{name} = {literal(value)}"
            expected = [n for n, other in enumerate(column, 1) if other == value]
            assert sorted(e.seq for e in library.list(Query(where=where))) == expected, where
            found = library.search(Query("x", where=where, everything=True, mode="pixels")).hits
            assert sorted(hit.entry.seq for hit in found) == expected, where


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library.create(tmp_path_factory.mktemp("q") / "library", Given())
    for n in range(4):
        library.keep([new(n, seed=n, steps=10 + n, prompt=f"number {n}", guidance=float(n))])
    with library.store.writing() as connection:
        connection.execute(
            "INSERT INTO tags SELECT seq, 'mine', 'hand', NULL FROM library WHERE seed = 1"
        )
    return library


@pytest.mark.parametrize(
    "where",
    [
        "",
        "  ",
        "seed = 1; DROP TABLE pictures",
        "true) UNION SELECT 1 FROM pictures --",
        "true) ORDER BY (seq",
        "true) LIMIT (1",
        "seed IN (SELECT seq FROM pictures)",
        "EXISTS (FROM read_csv('/etc/passwd'))",
        "read_text('/etc/passwd') = 'x'",
        "getenv('HOME') = 'x'",
        "row_number() OVER () = 1",
        "seed = $1",
        "seed = ?",
        "nonsense = 1",
        "seed = 'not a number'",
        "seed >",
        "'unclosed",
        "/* unclosed",
        "'\x00' = prompt",
        "(" * 3000 + "true" + ")" * 3000,
        "true OR " * 3000 + "true",
    ],
)
def test_what_is_no_single_condition_is_refused_with_the_columns(
    curated: Library, where: str
) -> None:
    for ask in (curated.list, curated.search):
        with pytest.raises(BadQuery) as caught:
            ask(Query("x", where=where))
        assert "\n" not in caught.value.message
        assert "prompt" in caught.value.hint and "guidance" in caught.value.hint
    assert len(curated.list(Query())) == 4


def test_dates_are_those_of_the_clock_where_it_happened(library: Library) -> None:
    library.keep([new(1), new(2)])
    with library.store.writing() as connection:  # 23:30 UTC, which was the next day already
        connection.execute(
            "UPDATE pictures SET added = '2026-03-01 23:30:00', added_offset = 60 WHERE seq = 1"
        )
    first = Query(since=date(2026, 3, 2), until=date(2026, 3, 2))
    assert [e.seq for e in library.list(first)] == [1]
    assert library.list(Query(until=date(2026, 3, 1))) == []
    assert [e.seq for e in library.list(Query(since=date(2026, 3, 3)))] == [2]


def test_filters_hold_together_and_k_bounds_what_is_left(curated: Library) -> None:
    assert len(curated.list(Query(where="seed > 0", k=2))) == 2
    assert curated.list(Query(where="seed > 0", tags=("mine",), model="none")) == []
    with pytest.raises(NoSuchSet):
        curated.list(Query(set="none"))


def test_a_set_keeps_its_order_and_a_hidden_one_is_shown_only_by_name(library: Library) -> None:
    kept = library.keep([new(n) for n in range(3)])
    with library.store.writing() as connection:
        connection.execute("INSERT INTO sets VALUES ('s', false, '2026-01-01')")
        for position, entry in enumerate((kept[2], kept[0])):
            connection.execute("INSERT INTO set_members VALUES ('s', ?, ?)", [entry.seq, position])
    assert [e.seq for e in library.list(Query(set="s"))] == [3, 1]
    with library.store.writing() as connection:
        connection.execute("UPDATE sets SET hidden = true")
    assert [e.seq for e in library.list(Query())] == [2]
    assert [h.entry.seq for h in library.search(Query("x", everything=True)).hits] == [2]
    assert [e.seq for e in library.list(Query(set="s"))] == [3, 1]
