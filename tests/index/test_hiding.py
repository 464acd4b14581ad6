"""Hiding: the pictures of a hidden set are nowhere until that set is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from index import (
    AmbiguousId,
    Library,
    NoSuchPicture,
    Query,
    SetExists,
    catalogue,
    curate,
    lexical,
    question,
    saved,
)
from index.duplicates import duplicates
from index.entry import Entry
from index.export import export
from index.passing import every
from index.query import Mode, terms_of
from index.refresh import refresh
from index.thumbnails import thumbnail_path
from tests.index.conftest import new, picture
from tests.index.given import Given

SHOWN, SECRET = 1, 2


@pytest.fixture
def entries(library: Library) -> list[Entry]:
    """Two pictures; the second is in the hidden set `private` and in the plain set `all`."""
    kept = library.keep([new(n, prompt=f"vixen number {n}") for n in (SHOWN, SECRET)])
    curate.tag(library, [e.id for e in kept], ["wild"])
    for name in ("private", "all"):
        curate.new_set(library, name)
    curate.add_to_set(library, "all", [e.id for e in kept])
    curate.add_to_set(library, "private", [kept[1].id])
    curate.hide_set(library, "private")
    return library.list(Query(set="private")) and kept


def seqs(found: list[Entry]) -> list[int]:
    return [entry.seq for entry in found]


@pytest.mark.parametrize("mode", ["pixels", "words", "both"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [SHOWN]),
        ({"tags": ("wild",)}, [SHOWN]),
        ({"where": "prompt ILIKE '%vixen%'"}, [SHOWN]),
        ({"where": "list_contains(sets, 'private')"}, []),
        ({"set": "all"}, [SHOWN]),
        ({"set": "private"}, [SECRET]),
    ],
)
def test_search_shows_what_is_hidden_only_to_who_asks_for_the_set(
    library: Library,
    encoder: Given,
    entries: list[Entry],
    mode: Mode,
    query: dict[str, object],
    expected: list[int],
) -> None:
    encoder.teach("vixen", picture(SECRET))  # the hidden picture is the best there is
    found = library.search(Query("vixen", everything=True, mode=mode, **query)).hits  # type: ignore[arg-type]
    assert [hit.entry.seq for hit in found] == expected
    assert seqs(library.list(Query(**query))) == expected  # type: ignore[arg-type]


def test_words_of_hidden_pictures_change_no_score(library: Library, entries: list[Entry]) -> None:
    before = library.search(Query("vixen 1", mode="words")).hits[0].score
    curate.note(library, [entries[1].id], "number 1 of all zebras")
    assert library.search(Query("vixen 1", mode="words")).hits[0].score == before
    # a word that only the hidden picture has is no word of the library: a typo of another, then
    curate.note(library, [entries[0].id], "zebros")
    assert library.search(Query("zebras", mode="words")).hits[0].words == {"zebras": "zebros"}


def test_likeness_does_not_show_it(library: Library, entries: list[Entry]) -> None:
    found = library.search(Query(like=(entries[0].id,), k=None)).hits
    assert [hit.entry.seq for hit in found] == [SHOWN]


def test_its_id_leads_nowhere(library: Library, entries: list[Entry]) -> None:
    """Only those who change what is said of it, or ask for its set, reach it."""
    id = entries[1].id
    for ask in (
        lambda: library.get(id),
        lambda: library.get(id[:8]),
        lambda: library.makings(id),
        lambda: library.search(Query(like=(id,))),
        lambda: library.search(Query("vixen", like=(entries[0].id, id))),
    ):
        with pytest.raises(NoSuchPicture):
            ask()
    curate.rate(library, [id[:8]], 3)
    assert library.get(id, hidden=True).rating == 3
    with pytest.raises(AmbiguousId) as caught, library.store.writing() as connection:
        connection.execute("UPDATE pictures SET id = 'aaaa' || seq")
        catalogue.resolve(connection, "aaaa")
    assert "aaaa1" in caught.value.message and "aaaa2" not in caught.value.message


def test_no_saved_search_finds_it(library: Library, entries: list[Entry]) -> None:
    saved.save_search(library, "foxes", Query("vixen", mode="words", k=None))
    found = library.search(saved.saved_search(library, "foxes")).hits
    assert [hit.entry.seq for hit in found] == [SHOWN]


def test_saved_searches_do_not_tell_of_its_set(library: Library, entries: list[Entry]) -> None:
    saved.save_search(library, "open", Query("vixen", set="all"))
    saved.save_search(library, "closed", Query("vixen", set="private", mode="words"))
    assert [s.name for s in saved.list_searches(library)] == ["open"]
    assert [s.name for s in saved.list_searches(library, hidden=True)] == ["closed", "open"]
    found = library.search(saved.saved_search(library, "closed")).hits  # it was asked for by name
    assert [hit.entry.seq for hit in found] == [SECRET]


def test_no_export_holds_it(library: Library, entries: list[Entry], tmp_path: Path) -> None:
    found = [hit.entry for hit in library.search(Query("vixen", everything=True)).hits]
    for name, chosen in (
        ("search", found),
        ("list", library.list(Query(k=None))),
        ("set", curate.show_set(library, "all")),
    ):
        export(library, chosen, tmp_path / name, "jsonl", "full")
        pictures = list((tmp_path / name).rglob("*.png"))
        assert len(pictures) == 1
        for path in (tmp_path / name).rglob("*"):
            assert path.is_dir() or b"vixen number 2" not in path.read_bytes()


def test_counts_leave_it_out(library: Library, entries: list[Entry]) -> None:
    assert (library.info().pictures, library.info().vectors) == (1, 1)
    assert "all 1 rows" in library.info().index
    refresh(library.store, force=True)
    assert "1 vectors" in library.info().index and "0 newer" in library.info().index
    assert [(s.name, s.count) for s in curate.list_sets(library)] == [("all", 1)]
    everything = curate.list_sets(library, hidden=True)
    assert [(s.name, s.count, s.hidden) for s in everything] == [
        ("all", 1, False),
        ("private", 1, True),
    ]


def test_plain_sets_do_not_show_it(library: Library, entries: list[Entry]) -> None:
    assert seqs(curate.show_set(library, "all")) == [SHOWN]
    assert seqs(curate.show_set(library, "private")) == [SECRET]


def test_questions_in_sql_do_not_see_it(library: Library, entries: list[Entry]) -> None:
    for view in question.VIEWS:
        rows = [r for b in question.answer(library.store, f"FROM {view}").batches for r in b]
        told = repr(rows)
        assert "private" not in told and entries[1].id not in told, view
        assert view != "library" or entries[0].id in told


def test_duplicates_leave_it_out(library: Library, entries: list[Entry], tmp_path: Path) -> None:
    picture(SECRET).save(tmp_path / "again.bmp")
    library.add([tmp_path / "again.bmp"])
    assert entries[1].id not in repr(duplicates(library.store))
    curate.hide_set(library, "private", hidden=False)
    assert entries[1].id in repr(duplicates(library.store))


def test_the_trash_does_not_tell_of_it(library: Library, entries: list[Entry]) -> None:
    library.delete([e.id for e in entries])
    assert [t.id for t in library.trashed()] == [entries[0].id]
    assert library.info().trashed == 1
    library.restore([entries[1].id])
    assert seqs(library.list(Query(set="private"))) == [SECRET] and not library.list(Query())


def test_it_has_no_thumbnail_while_it_is_hidden(library: Library, entries: list[Entry]) -> None:
    def thumbnails() -> list[bool]:
        return [thumbnail_path(e.id, library.root).exists() for e in entries]

    assert thumbnails() == [True, False]
    curate.add_to_set(library, "private", [entries[0].id])
    assert thumbnails() == [False, False]
    curate.remove_from_set(library, "private", [entries[0].id])
    assert thumbnails() == [True, False]
    curate.hide_set(library, "private", hidden=False)
    assert thumbnails() == [True, True]
    curate.hide_set(library, "private")
    curate.delete_set(library, "private")
    assert thumbnails() == [True, True]


def test_a_rebuilt_library_hides_what_was_hidden(library: Library, entries: list[Entry]) -> None:
    Library.rebuild(library.root, Given())
    again = Library.open(library.root, Given())
    assert seqs(again.list(Query())) == [SHOWN] and again.info().pictures == 1
    assert [thumbnail_path(e.id, library.root).exists() for e in entries] == [True, False]


def test_making_it_again_does_not_bring_it_back(library: Library, entries: list[Entry]) -> None:
    again = library.keep([new(SECRET, prompt="vixen number 2")])
    assert again[0].hidden
    assert not thumbnail_path(again[0].id, library.root).exists()
    assert seqs(library.list(Query())) == [SHOWN]


@pytest.mark.parametrize("in_trash", [False, True])
def test_adding_it_again_does_not_tell_of_it(
    library: Library, entries: list[Entry], tmp_path: Path, in_trash: bool
) -> None:
    (tmp_path / "again").mkdir()
    for number in (SHOWN, SECRET, 3):
        picture(number).save(tmp_path / "again" / f"{number}.bmp")
    if in_trash:
        library.delete([entries[1].id])
    report = library.add([tmp_path / "again"])
    assert ([e.id == entries[1].id for e in report.added], report.known) == ([False], 1)
    assert report.failed == []
    assert seqs(library.list(Query(set="private"))) == [SECRET]
    assert not thumbnail_path(entries[1].id, library.root).exists()


def test_a_hidden_set_is_reached_by_its_name(library: Library, entries: list[Entry]) -> None:
    """Whoever knows the name may ask for the set: it is taken, and says so."""
    with pytest.raises(SetExists):
        curate.new_set(library, "private")


def test_an_end_of_hiding_shows_it_everywhere(library: Library, entries: list[Entry]) -> None:
    curate.hide_set(library, "private", hidden=False)
    assert len(library.search(Query("vixen", everything=True)).hits) == 2
    assert seqs(library.list(Query())) == [SECRET, SHOWN]
    assert library.info().pictures == 2
    with library.store.reading() as connection:
        assert len(lexical.find(connection, terms_of(Query("vixen")), every()).numbers) == 2
