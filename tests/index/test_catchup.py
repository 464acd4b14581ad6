"""A catalogue that has lost what its journal tells gets it back before anything else is written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from index import Library, Query, curate, journal, saved
from tests.index.conftest import new
from tests.index.given import Given
from tests.index.test_damage import kill
from tests.index.test_rebuild import everything


@pytest.fixture
def kept(library: Library) -> Library:
    entries = library.keep([new(n, prompt=f"number {n}") for n in range(4)])
    ids = [entry.id for entry in entries]
    curate.tag(library, ids[:1], ["mine"])
    for name in ("order", "secret"):
        curate.new_set(library, name)
    curate.add_to_set(library, "order", ids[1:3])
    curate.add_to_set(library, "secret", ids[2:3])
    saved.save_search(library, "foxes", Query("fox"))
    library.delete(ids[3:])
    return library


# On `library`, whose pictures' ids are `ids`, the deleted one last.
CHANGES = {
    "rate": "curate.rate(library, ids[:1], 5)",
    "untag": "curate.untag(library, ids[:1], ['mine'])",
    "caption": "curate.caption(library, ids[:2], 'a fox asleep')",
    "make a set": "curate.new_set(library, 'more')",
    "unmake a set": "curate.delete_set(library, 'order')",
    "hide": "curate.hide_set(library, 'secret')",
    "choose": "curate.add_to_set(library, 'order', ids[:1])",
    "delete": "library.delete(ids[:1])",
    "restore": "library.restore(ids[3:])",
    "save a search": "saved.save_search(library, 'hares', Query('hare'))",
    "forget a search": "saved.delete_search(library, 'foxes')",
    "empty": "library.empty_trash()",
}
FIRST: dict[str, Callable[[Library], object]] = {
    "open": lambda library: Library.open(library.root, Given()),
    "write": lambda library: curate.new_set(library, "later"),
    "repair": lambda library: Library.repair(library.root, Given()),
}


def _torn(library: Library, change: str) -> None:
    """Let a process die after it committed and told the journal, and its log be cut short."""
    ids = [entry.id for entry in library.list(Query())][::-1] + [library.trashed()[0].id]
    kill(
        library.root,
        "journaled",
        f"ids = {ids!r}\nfrom index import Query, saved\n{change}",
    )
    os.truncate(f"{library.store.path}.wal", 1)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_torn_log_has_lost_is_put_back(kept: Library, change: str, tmp_path: Path) -> None:
    ids = [entry.id for entry in kept.list(Query())][::-1] + [kept.trashed()[0].id]
    twin = Library.open(shutil.copytree(kept.root, tmp_path / "twin"), Given())
    _torn(kept, CHANGES[change])
    assert "behind" in {d.kind for d in kept.verify()}
    opened = Library.open(kept.root, Given())
    assert opened.store.caught_up > 0
    if change == "empty":  # its files are there still, so that it is in the trash again
        assert [trashed.id for trashed in opened.trashed()] == ids[3:]
        opened.empty_trash()
    scope = {"library": twin, "ids": ids, "curate": curate, "saved": saved, "Query": Query}
    exec(CHANGES[change], scope)  # the tests' own
    assert _but_times(everything(opened)) == _but_times(everything(twin))
    assert opened.verify() == []
    assert Library.open(kept.root, Given()).store.caught_up == 0


@pytest.mark.parametrize("first", FIRST)
def test_whoever_comes_first_puts_it_back(kept: Library, first: str) -> None:
    id = kept.list(Query())[-1].id
    _torn(kept, CHANGES["rate"])
    assert kept.get(id).rating is None  # to read is to change nothing
    FIRST[first](kept)
    assert kept.get(id).rating == 5
    assert journal.read(kept.root)["picture", id]["rating"] == 5
    assert kept.verify() == []


def test_what_is_put_back_is_told_by_repair(kept: Library) -> None:
    _torn(kept, CHANGES["rate"])
    repaired = Library.repair(kept.root, Given())
    assert [line for line in repaired.done if "journal" in line] and repaired.left == []


def test_who_fails_to_write_leaves_it_to_the_next(kept: Library) -> None:
    id = kept.list(Query())[-1].id
    _torn(kept, CHANGES["rate"])
    with pytest.raises(Exception, match="no set"):
        curate.delete_set(kept, "nowhere")
    assert kept.get(id).rating is None and kept.store.caught_up == 0
    curate.new_set(kept, "more")
    assert kept.get(id).rating == 5


def test_an_older_copy_of_the_catalogue_gets_back_what_came_later(kept: Library) -> None:
    old = kept.store.path.read_bytes()
    id = kept.list(Query())[0].id
    for rating in (1, 2, 3):
        curate.rate(kept, [id], rating)
    curate.tag(kept, [id], ["later"])
    kept.store.path.write_bytes(old)
    assert "behind" in {d.kind for d in kept.verify()}
    curate.note(kept, [id], "written upon it")
    entry = kept.get(id)
    assert (entry.rating, "later" in entry.tags, entry.note) == (3, True, "written upon it")
    assert kept.verify() == []


def test_a_journal_that_was_written_anew_is_not_ahead(kept: Library) -> None:
    kept.empty_trash()
    assert Library.open(kept.root, Given()).store.caught_up == 0
    Library.rebuild(kept.root, Given())
    again = Library.open(kept.root, Given())
    curate.rate(again, [again.list(Query())[0].id], 5)
    assert again.store.caught_up == 0 and again.verify() == []


def test_a_new_catalogue_beside_an_old_journal_is_not_behind(kept: Library) -> None:
    kept.store.path.unlink()
    fresh = Library.create(kept.root, Given())
    curate.new_set(fresh, "more")
    assert fresh.store.caught_up == 0
    assert [each.name for each in curate.list_sets(fresh)] == ["more"]


def test_a_backup_carries_both(kept: Library, tmp_path: Path) -> None:
    kept.backup(tmp_path / "b.zip")
    curate.rate(kept, [kept.list(Query())[0].id], 5)
    again = Library.from_backup(tmp_path / "b.zip", tmp_path / "again")
    assert again.store.caught_up == 0 and again.verify() == []


def test_numbers_are_given_to_what_the_journal_tells_alone(kept: Library) -> None:
    with kept.store.reading() as connection:
        before = journal.number(connection)
    assert journal.last(kept.root) == before
    kept.refresh()
    kept.search(Query("x"))
    curate.rate(kept, [kept.list(Query())[0].id], 5)
    with kept.store.reading() as connection:
        assert journal.number(connection) == journal.last(kept.root) == before + 1


def _but_times(told: dict[str, object]) -> dict[str, object]:
    """What happened at two moments is the same but for them."""
    moment = r"\d{4}-\d\d-\d\d[^'\"]*|datetime\.datetime\([^)]*\)"
    return {key: re.sub(moment, "", repr(value)) for key, value in told.items()}
