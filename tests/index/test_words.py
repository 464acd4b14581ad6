"""Words: the table follows what is written of pictures, whatever happens to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from index import Library, curate, migrations, words
from index.looking import look_at
from index.store import CONFIG, Store
from tests.index.conftest import new
from tests.index.given import Given


def words_of(library: Library, number: int) -> set[str]:
    with library.store.reading() as connection:
        rows = connection.execute("SELECT word FROM words WHERE picture = ?", [number])
        return {word for (word,) in rows.fetchall()}


def stale(library: Library) -> list[int]:
    with library.store.reading() as connection:
        return words.stale(connection)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red-fox, a RED fox!", ["a", "red", "fox"]),
        ("Ecole \u00e9cole e\u0301cole", ["ecole"]),
        (
            "\u0440\u044b\u0436\u0430\u044f \u041b\u0438\u0441\u0430",
            ["\u0440\u044b\u0436\u0430\u044f", "\u043b\u0438\u0441\u0430"],
        ),
        ("\u65e5\u672c\u3001\u5c71", ["\u65e5\u672c", "\u5c71"]),
        ("(masterpiece:1.2), \U0001f98a!", ["masterpiece", "1", "2", "\U0001f98a"]),
        ("  ,;--  ", []),
        ("", []),
        ("fox\udcff", ["fox"]),
    ],
)
def test_a_text_is_split_into_its_different_words(text: str, expected: list[str]) -> None:
    with duckdb.connect() as connection:
        assert words.split(connection, text) == expected


def test_prompt_tags_note_and_caption_give_a_picture_its_words(library: Library) -> None:
    entry = library.keep([new(1, prompt="A red fox", negative="blurry")])[0]
    curate.tag(library, [entry.id], ["Winter Scene"])
    curate.note(library, [entry.id], "for grandma's card, red")
    curate.caption(library, [entry.id], "asleep in snow")
    expected = {"a", "red", "fox", "winter", "scene", "for", "grandma", "s", "card", "asleep"}
    assert words_of(library, entry.seq) >= expected
    assert "blurry" not in words_of(library, entry.seq)


CHANGES: dict[str, Callable[[Library, list[str]], object]] = {
    "tag": lambda library, ids: curate.tag(library, ids, ["winter"]),
    "untag": lambda library, ids: curate.untag(library, ids[:1], ["snow"]),
    "note": lambda library, ids: curate.note(library, ids, "for the card"),
    "caption": lambda library, ids: curate.caption(library, ids, "a vixen asleep"),
    "note taken away": lambda library, ids: curate.note(library, ids[:1], ""),
    "rating": lambda library, ids: curate.rate(library, ids, 3),
    "delete": lambda library, ids: library.delete(ids[:1]),
    "another making": lambda library, ids: library.keep([new(1, prompt="a vixen")]),
    "another encoder": lambda library, ids: library.reembed(Given("other")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_leaves_words_behind(library: Library, change: str) -> None:
    kept = library.keep([new(1, prompt="a fox"), new(2, prompt="a hen")])
    ids = [entry.id for entry in kept]
    curate.tag(library, ids, ["snow"])
    curate.note(library, ids[:1], "first")
    CHANGES[change](library, ids)
    assert stale(library) == []


def test_what_was_forgotten_is_told_and_mended(library: Library) -> None:
    first, second = library.keep([new(1, prompt="a fox"), new(2, prompt="a hen")])
    with library.store.writing() as connection:
        connection.execute("DELETE FROM words WHERE word = 'fox'")
        connection.execute("INSERT INTO words VALUES (?, 'stray')", [second.seq])
    assert stale(library) == [first.seq, second.seq]
    found = [(d.kind, d.where) for d in library.verify()]
    assert found == [("words", first.id), ("words", second.id)]
    assert Library.repair(library.root, Given()).left == [] and stale(library) == []


def test_a_library_of_the_first_schema_gains_its_words(library: Library) -> None:
    entry = library.keep([new(1, prompt="A red fox")])[0]
    curate.tag(library, [entry.id], ["Winter"])
    later = "".join(migrations.MIGRATIONS[1:])
    with duckdb.connect(library.store.path, config=CONFIG) as connection:
        for trigger, table in re.findall(r"CREATE TRIGGER (\w+) AFTER \w+ ON (\w+)", later):
            connection.execute(f"DROP TRIGGER {trigger} ON {table}")
        for table in re.findall(r"CREATE TABLE (\w+)", later):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP VIEW library")
        for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", later):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    again = Library.open(library.root, Given())
    assert words_of(again, entry.seq) >= {"a", "red", "fox", "winter"}
    assert stale(again) == []


def test_the_steps_from_an_empty_catalogue_and_from_the_first_schema_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables(store: Store) -> list[object]:
        with store.reading() as connection:
            return connection.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns "
                "ORDER BY ALL"
            ).fetchall()

    new_store, old_store = Store(tmp_path / "new"), Store(tmp_path / "old")
    for store in (new_store, old_store):
        store.root.mkdir()
    new_store.create()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
        patch.setattr(migrations, "VIEW", "SELECT 1")
        with duckdb.connect(old_store.path) as connection:
            migrations.migrate(connection)
    old_store.upgrade()
    assert tables(old_store) == tables(new_store)


def test_weights_and_breaks_of_a_prompt_are_no_words(library: Library) -> None:
    [entry] = library.keep([new(1, prompt="a (red:1.3) [fox:cat:.5] BREAK 7 hills, break")])
    assert words_of(library, entry.seq) >= {"a", "red", "fox", "cat", "7", "hills", "break"}
    assert words_of(library, entry.seq).isdisjoint({"1", "3", "5"})


def test_words_of_before_the_language_of_prompts_are_renewed(library: Library) -> None:
    [entry, other] = library.keep([new(1, prompt="a (red:1.3) fox"), new(2, prompt="a cat")])
    with library.store.writing() as connection:
        connection.execute("INSERT INTO words VALUES (?, '3')", [entry.seq])
        connection.execute(migrations.MIGRATIONS[5])
    assert stale(library) == []
    assert words_of(library, other.seq) >= {"cat"}


def test_adherence_is_to_the_plain_words(library: Library) -> None:
    image = new(1).image
    [look] = look_at(library.encoder, [image], ["a (red:1.3) [fox]"])
    [plain] = look_at(library.encoder, [image], ["a red fox"])
    assert look.adherence == plain.adherence
