"""Saved searches: asked again they are what they were, whatever they asked for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from index import BadQuery, Library, NoSuchPicture, NoSuchSearch, NoSuchSet, Query, curate
from index.saved import (
    delete_search,
    list_searches,
    rename_search,
    save_search,
    saved_search,
)
from tests.index.conftest import new

QUERIES = [
    Query(),
    Query("cat::2 night::-0.5", minus=("snow", "b\u00e4r"), mode="words", k=None, everything=True),
    Query(like=("mfrg2zdf", Path("/pictures/a b.png")), tags=("red", "fox"), model="sovgen-mini"),
    Query("\U0001f98a", where="rating >= 4 AND prompt LIKE '%''%'", set="private", k=3),
    Query("fox", since=date(2026, 1, 31), until=date(2026, 2, 28), exact=True),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_comes_back_as_it_was(library: Library, query: Query) -> None:
    save_search(library, "  my   search ", query)
    assert saved_search(Library.open(library.root), "my search") == query


def test_saving_again_replaces(library: Library) -> None:
    save_search(library, "b", Query("fox"))
    save_search(library, "a", Query("hen"))
    save_search(library, "b", Query("owl"))
    found = list_searches(library)
    assert [(s.name, s.query.text) for s in found] == [("a", "hen"), ("b", "owl")]
    assert all(s.saved.tzinfo is not None for s in found)


def test_a_search_finds_what_the_library_holds_now(library: Library) -> None:
    save_search(library, "fox", Query("vixen", mode="words"))
    entry = library.keep([new(1, prompt="a vixen")])[0]
    assert [h.entry.id for h in library.search(saved_search(library, "fox")).hits] == [entry.id]


def test_a_file_is_kept_with_its_whole_path(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_search(library, "like", Query(like=(Path("a.png"),)))
    assert saved_search(library, "like").like == (tmp_path / "a.png",)


def test_what_is_not_there_is_said_so(library: Library) -> None:
    save_search(library, "fox", Query("fox"))
    delete_search(library, "fox")
    for ask in (saved_search, delete_search):
        with pytest.raises(NoSuchSearch, match="'fox'") as caught:
            ask(library, "fox")
        assert "sovgen saved list" in caught.value.hint


def test_a_search_can_be_called_something_else(library: Library) -> None:
    save_search(library, "fox", Query("fox", where="rating > 3", tags=("red",)))
    save_search(library, "hen", Query("hen"))
    rename_search(library, "fox", " vixen ")
    assert saved_search(library, "vixen") == Query("fox", where="rating > 3", tags=("red",))
    assert [s.name for s in list_searches(library)] == ["hen", "vixen"]
    with pytest.raises(NoSuchSearch):
        rename_search(library, "fox", "other")
    with pytest.raises(BadQuery, match="already"):
        rename_search(library, "vixen", "hen")
    assert library.verify() == []  # the journal follows


def test_a_search_outlives_what_it_asks_for(library: Library) -> None:
    entry = library.keep([new(1, prompt="a vixen")])[0]
    curate.new_set(library, "best")
    save_search(library, "in", Query("vixen", set="best", mode="words"))
    save_search(library, "like", Query(like=(entry.id,)))
    curate.delete_set(library, "best")
    library.delete([entry.id])
    with pytest.raises(NoSuchSet, match="'best'"):
        library.search(saved_search(library, "in"))
    with pytest.raises(NoSuchPicture):
        library.search(saved_search(library, "like"))
    assert [s.name for s in list_searches(library)] == ["in", "like"]


@pytest.mark.parametrize(
    ("name", "query"),
    [("", Query("fox")), ("a\nb", Query("fox")), ("x" * 101, Query("fox")), ("a", Query("\udcff"))],
)
def test_what_cannot_be_kept_is_refused(library: Library, name: str, query: Query) -> None:
    with pytest.raises(BadQuery):
        save_search(library, name, query)
    assert list_searches(library) == []


def test_what_a_later_version_asks_for_is_not_dropped(library: Library) -> None:
    with library.store.writing() as connection:
        connection.execute("""INSERT INTO searches VALUES ('new', '{"hue": 3}', now())""")
    with pytest.raises(BadQuery, match="hue"):
        saved_search(library, "new")
