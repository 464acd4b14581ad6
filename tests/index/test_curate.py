"""Tags, ratings, notes and sets: what people say is kept, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from index import agreement, curate
from index.entry import Entry
from index.errors import AmbiguousId, BadQuery, LibraryError, NoSuchPicture, NoSuchSet, SetExists
from index.store import Store
from index.trash import delete, restore
from tests.index.samples import noise, saved
from tests.index.shelf import entries, lay


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures that every library of this file holds."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        saved(folder / f"{number}.png", noise(seed=number))
    return folder


@pytest.fixture
def store(ground: Path, tmp_path: Path) -> Store:
    return lay(tmp_path / "library", sorted(ground.iterdir()))


@pytest.fixture
def ids(store: Store) -> list[str]:
    return [entry.id for entry in entries(store)]


def first(store: Store) -> Entry:
    return entries(store)[0]


def sources(store: Store, tag: str) -> list[str]:
    with store.reading() as connection:
        rows = connection.execute("SELECT source FROM tags WHERE tag = ? ORDER BY ALL", [tag])
        return [row[0] for row in rows.fetchall()]


class TestTags:
    def test_a_tag_is_kept_once_however_often_it_is_given(
        self, store: Store, ids: list[str]
    ) -> None:
        assert curate.tag(store, [ids[0][:6], ids[1]], ["winter", "favourite"]) == 4
        assert curate.tag(store, [ids[0], ids[0]], ["winter", "winter"]) == 0
        assert first(store).tags == ("favourite", "winter")

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("  Red   Fox ", "red fox"),
            ("E\u0301cole", "école"),
            ("fox\u00a0den", "fox den"),
            ("👨‍👩‍👧", "👨‍👩‍👧"),
            ("日本", "日本"),
        ],
    )
    def test_tags_are_written_one_way(
        self, store: Store, ids: list[str], given: str, kept: str
    ) -> None:
        curate.tag(store, [ids[0]], [given])
        assert first(store).tags == (kept,)

    @pytest.mark.parametrize("bad", ["", "   ", "a\x00b", "a\nb", "a\x1b[31m", "x" * 101, "\udcfc"])
    def test_what_is_no_tag_is_refused(self, store: Store, ids: list[str], bad: str) -> None:
        with pytest.raises(BadQuery):
            curate.tag(store, [ids[0]], ["good", bad])
        assert first(store).tags == ()

    def test_tags_by_hand_stand_apart_from_the_encoders(self, store: Store, ids: list[str]) -> None:
        with store.writing() as connection:
            connection.execute("INSERT INTO tags VALUES (1, 'fox', 'clip', 0.3)")
        assert curate.tag(store, [ids[0]], ["fox"]) == 1
        assert sources(store, "fox") == ["clip", "hand"] and first(store).tags == ("fox",)

    def test_untagging_takes_the_tag_away_whoever_gave_it(
        self, store: Store, ids: list[str]
    ) -> None:
        with store.writing() as connection:
            connection.execute("INSERT INTO tags VALUES (1, 'fox', 'clip', 0.3)")
        curate.tag(store, [ids[0]], ["Fox", "den"])
        assert curate.untag(store, [ids[0]], ["FOX", "never given"]) == 2
        assert first(store).tags == ("den",)

    def test_one_unknown_picture_and_nothing_is_tagged(self, store: Store, ids: list[str]) -> None:
        with pytest.raises(NoSuchPicture):
            curate.tag(store, [ids[0], "aaaaaaaaaaaa"], ["winter"])
        assert first(store).tags == ()


class TestRatingsAndNotes:
    @pytest.mark.parametrize("rating", [0, 3, 5])
    def test_a_rating_is_kept_and_replaced(self, store: Store, ids: list[str], rating: int) -> None:
        curate.rate(store, [ids[0]], 1)
        curate.rate(store, [ids[0]], rating)
        assert [entry.rating for entry in entries(store)] == [rating, None, None]

    @pytest.mark.parametrize("rating", [-1, 6, True, 2.5, "3"])
    def test_what_is_no_rating_is_refused(
        self, store: Store, ids: list[str], rating: object
    ) -> None:
        with pytest.raises(BadQuery, match="no rating"):
            curate.rate(store, ids, rating)  # type: ignore[arg-type]

    def test_a_rating_can_be_taken_away_and_the_note_stays(
        self, store: Store, ids: list[str]
    ) -> None:
        curate.note(store, ids, "  for the cover:\n the left one ")
        curate.rate(store, ids, 4)
        curate.rate(store, [ids[0]], None)
        assert (first(store).rating, first(store).note) == (None, "for the cover:\n the left one")

    def test_an_empty_note_takes_the_note_away(self, store: Store, ids: list[str]) -> None:
        curate.note(store, ids, "x")
        curate.note(store, ids, " ")
        assert first(store).note is None

    @pytest.mark.parametrize("bad", ["a\x00", "\x1b[2J", "x" * 10_001])
    def test_what_cannot_be_shown_is_no_note(self, store: Store, ids: list[str], bad: str) -> None:
        with pytest.raises(BadQuery):
            curate.note(store, ids, bad)


class TestCaptions:
    def test_a_caption_is_one_line_and_leaves_note_and_rating(
        self, store: Store, ids: list[str]
    ) -> None:
        curate.note(store, ids, "for grandma")
        curate.rate(store, ids, 4)
        curate.caption(store, ids[:1], "  a red fox\n asleep ")
        kept = first(store)
        assert (kept.caption, kept.note, kept.rating) == ("a red fox asleep", "for grandma", 4)
        curate.caption(store, ids[:1], " ")
        assert first(store).caption is None and first(store).note == "for grandma"

    @pytest.mark.parametrize("bad", ["a\x00", "\x1b[2J", "x" * 10_001])
    def test_what_cannot_be_shown_is_no_caption(
        self, store: Store, ids: list[str], bad: str
    ) -> None:
        with pytest.raises(BadQuery, match="caption"):
            curate.caption(store, ids, bad)


class TestSets:
    def shown(self, store: Store, name: str) -> list[str]:
        return [entry.id for entry in curate.show_set(store, name)]

    def test_a_set_keeps_the_order_in_which_pictures_came(
        self, store: Store, ids: list[str]
    ) -> None:
        curate.new_set(store, "foxes")
        assert curate.add_to_set(store, "foxes", [ids[2], ids[0]]) == 2
        assert curate.add_to_set(store, "foxes", [ids[0], ids[1], ids[1]]) == 1
        assert self.shown(store, "foxes") == [ids[2], ids[0], ids[1]]
        assert curate.remove_from_set(store, "foxes", [ids[2]]) == 1
        assert curate.remove_from_set(store, "foxes", [ids[2]]) == 0
        curate.add_to_set(store, "foxes", [ids[2]])
        assert self.shown(store, "foxes") == [ids[0], ids[1], ids[2]]

    @pytest.mark.parametrize(
        ("moved", "at", "order"),
        [
            ([2], 1, [2, 0, 1]),
            ([0], 2, [1, 0, 2]),
            ([0], 3, [1, 2, 0]),
            ([0], 99, [1, 2, 0]),
            ([2, 1], 1, [2, 1, 0]),
            ([1], 2, [0, 1, 2]),
        ],
    )
    def test_pictures_move_to_a_place(
        self, store: Store, ids: list[str], moved: list[int], at: int, order: list[int]
    ) -> None:
        curate.new_set(store, "foxes")
        curate.add_to_set(store, "foxes", ids)
        assert curate.add_to_set(store, "foxes", [ids[n] for n in moved], at) == 0
        assert self.shown(store, "foxes") == [ids[n] for n in order]
        assert agreement.differing(store) == []

    def test_new_ones_are_put_in_at_a_place_that_counts_what_is_seen(
        self, store: Store, ids: list[str]
    ) -> None:
        curate.new_set(store, "foxes")
        curate.add_to_set(store, "foxes", ids[:2])
        delete(store, [ids[0]])
        assert curate.add_to_set(store, "foxes", [ids[2]], 1) == 1
        assert self.shown(store, "foxes") == [ids[2], ids[1]]
        restore(store, [ids[0]])
        assert self.shown(store, "foxes") == [ids[0], ids[2], ids[1]]
        with pytest.raises(BadQuery, match="no place 0"):
            curate.add_to_set(store, "foxes", [ids[2]], 0)

    def test_sets_are_listed_by_name_with_what_they_show(
        self, store: Store, ids: list[str]
    ) -> None:
        for name in ("b", "a"):
            curate.new_set(store, name)
        curate.add_to_set(store, "b", ids)
        with store.writing() as connection:
            connection.execute(
                "INSERT INTO deleted VALUES (1, ?, now()::TIMESTAMP, false)", [ids[0]]
            )
        assert [(s.name, s.count, s.hidden) for s in curate.list_sets(store)] == [
            ("a", 0, False),
            ("b", 2, False),
        ]
        assert self.shown(store, "b") == ids[1:]
        assert all(s.created.utcoffset() is not None for s in curate.list_sets(store))

    def test_names_are_written_one_way(self, store: Store) -> None:
        curate.new_set(store, "  Red   Foxes ")
        assert self.shown(store, "Red Foxes") == []
        with pytest.raises(SetExists):
            curate.new_set(store, "Red Foxes")

    def test_a_set_that_is_unmade_leaves_its_pictures(self, store: Store, ids: list[str]) -> None:
        curate.new_set(store, "foxes")
        curate.add_to_set(store, "foxes", ids)
        curate.delete_set(store, "foxes")
        assert curate.list_sets(store) == [] and len(entries(store)) == 3
        curate.new_set(store, "foxes")
        assert self.shown(store, "foxes") == []

    def test_a_picture_tells_its_sets(self, store: Store, ids: list[str]) -> None:
        for name in ("b", "a"):
            curate.new_set(store, name)
            curate.add_to_set(store, name, ids)
        assert first(store).sets == ("a", "b")

    def test_what_is_not_there_is_said_so(self, store: Store, ids: list[str]) -> None:
        for act in (
            lambda: curate.add_to_set(store, "nothing", ids),
            lambda: curate.remove_from_set(store, "nothing", ids),
            lambda: curate.show_set(store, "nothing"),
            lambda: curate.delete_set(store, "nothing"),
        ):
            with pytest.raises(NoSuchSet, match="no set 'nothing'"):
                act()
        curate.new_set(store, "a")
        with pytest.raises(NoSuchPicture):
            curate.add_to_set(store, "a", [ids[0], "zzzzzz"])
        assert self.shown(store, "a") == []

    @pytest.mark.parametrize("bad", ["", " ", "a\nb", "x" * 101, "\udcfc"])
    def test_what_is_no_name_is_refused(self, store: Store, bad: str) -> None:
        with pytest.raises(BadQuery):
            curate.new_set(store, bad)

    def test_a_prefix_that_fits_several_is_refused(self, store: Store) -> None:
        with store.writing() as connection:
            connection.execute("UPDATE pictures SET id = 'abcd' || seq")
        curate.new_set(store, "a")
        with pytest.raises(AmbiguousId):
            curate.add_to_set(store, "a", ["abcd"])

    def test_every_refusal_has_one_line_to_say(self, store: Store) -> None:
        for act in (curate.show_set, curate.new_set):
            with pytest.raises(LibraryError) as caught:
                act(store, "\x1b[31mred")
            assert caught.value.message.isprintable()
