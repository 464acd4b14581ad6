"""Selection: filters mean what a person writes, not how the catalogue keeps it."""

from __future__ import annotations

import pytest

from index import BadQuery, Library, Query, curate, predicate
from tests.index.conftest import new


@pytest.mark.parametrize("asked", ["red fox", "Red  FOX", " e\u0301cole "])
def test_a_tag_is_found_however_it_is_written(library: Library, asked: str) -> None:
    kept = library.keep([new(1), new(2)])
    curate.tag(library, [kept[0].id], ["Red Fox", "École"])
    assert [e.id for e in library.list(Query(tags=(asked,)))] == [kept[0].id]


def test_what_is_no_tag_is_refused(library: Library) -> None:
    with pytest.raises(BadQuery, match="cannot be empty"):
        library.list(Query(tags=(" ",)))


CONDITIONS = [
    "true",
    "rating IS NULL",
    "rating >= 3 OR NOT 'fox' IN tags",
    "'fox' IN tags",
    "LIST_CONTAINS(Library.Tags, 'fox') AND NOT 'red' IN tags",
    "'fox' IN tags AND 'red' IN tags AND rating IS NULL",
    "'it''s' IN tags",
    "('fox' IN tags) IS NULL",
    "len(tags) = 0",
    "len(tags) = 0 AND 'fox' IN tags",
    "len(tags) = 0 OR rating = 4",
    "NOT len(tags) = 0",
    "len(tags) = 2",
    "tags = [] AND 0 = Length(Library.Sets) AND rating = 4",
    "array_length(sets) = 0 AND array_length(colours) = 0",
    "sets = ['best'] AND tags = []",
    "'best' IN sets AND hidden = false",
    "'secret' IN sets",
    "contains(note, 'fox')",
    "note.lower() = 'a fox'",
    "len(list_filter(tags, lambda tag: tag LIKE 'f%')) = 1",
    "main.library.seq < 3",
    "library IS NOT NULL AND seq > 1",
    "added IS NOT NULL AND made IS NULL AND colours = []",
    "kind IS NULL OR width > 0",
]


def test_a_condition_means_what_it_means_over_the_whole_view(library: Library) -> None:
    ids = [entry.id for entry in library.keep([new(n) for n in range(6)])]
    curate.tag(library, ids[:3], ["fox", "it's"])
    curate.tag(library, ids[2:4], ["red"])
    curate.rate(library, ids[1:5:2], 4)
    curate.note(library, ids[:1], "A fox")
    for name, members in (("best", ids[1:4]), ("secret", ids[5:])):
        curate.new_set(library, name)
        curate.add_to_set(library, name, members)
    curate.hide_set(library, "secret")
    library.delete(ids[4:5])
    for condition in CONDITIONS:
        with library.store.reading() as connection:
            rows = connection.execute(
                f"SELECT seq FROM library WHERE ({condition}) AND NOT hidden ORDER BY seq DESC"
            ).fetchall()
        listed = [entry.seq for entry in library.list(Query(where=condition))]
        assert listed == [seq for (seq,) in rows], condition


def test_no_list_is_made_that_has_to_be_empty(library: Library) -> None:
    with library.store.reading() as connection:
        source = predicate.source(connection, "len(tags) = 0 AND sets = []", ["seq"])
        other = predicate.source(connection, "len(tags) = 0 OR sets = []", ["seq"])
    assert "list(" not in source and source.count("NOT IN (SELECT picture FROM") == 2
    assert other.count("list(") == 2


def test_tables_that_a_condition_does_not_name_are_not_read(library: Library) -> None:
    with library.store.reading() as connection:
        source = predicate.source(connection, "steps < 10 AND 'fox' IN tags", ["seq", "hidden"])
    assert "makings" in source and "FROM tags WHERE picture IN" in source
    assert not any(f"FROM {table}" in source for table in ("files", "looks", "colours"))
