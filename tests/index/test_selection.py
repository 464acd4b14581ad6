"""Selection: filters mean what a person writes, not how the catalogue keeps it."""

from __future__ import annotations

import pytest

from index import BadQuery, Library, Query, curate
from tests.index.conftest import new


@pytest.mark.parametrize("asked", ["red fox", "Red  FOX", " e\u0301cole "])
def test_a_tag_is_found_however_it_is_written(library: Library, asked: str) -> None:
    kept = library.keep([new(1), new(2)])
    curate.tag(library, [kept[0].id], ["Red Fox", "École"])
    assert [e.id for e in library.list(Query(tags=(asked,)))] == [kept[0].id]


def test_what_is_no_tag_is_refused(library: Library) -> None:
    with pytest.raises(BadQuery, match="cannot be empty"):
        library.list(Query(tags=(" ",)))
