"""Contact sheets: every picture is on them, in its place, under its words."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.export import export
from index.export.lettering import printable
from index.export.sheet import Band, Tile, contact_sheet
from index.making import Making
from tests.index.samples import noise, saved
from tests.index.shelf import entries, lay

GREEN = (26, 143, 60)


def has(sheet: Image.Image, colour: str | tuple[int, int, int]) -> int:
    """How many pixels of the sheet are of that colour."""
    wanted = np.array(Image.new("RGB", (1, 1), colour))[0, 0]
    return int((np.asarray(sheet) == wanted).all(axis=2).sum())


def tile(colour: str, **more: object) -> Tile:
    return Tile(Image.new("RGB", (50, 50), colour), **more)  # type: ignore[arg-type]


def test_every_picture_is_drawn_at_its_size() -> None:
    bands = [Band("a", [tile("red"), tile("blue")]), Band("b", [tile("navy")])]
    sheet = contact_sheet(bands, side=100)
    assert sheet.mode == "RGB" and sheet.info == {}
    assert [has(sheet, c) for c in ("red", "blue", "navy")] == [10_000] * 3
    rows, columns = np.nonzero((np.asarray(sheet) == (0, 0, 255)).all(axis=2))
    assert columns.min() > np.nonzero((np.asarray(sheet) == (255, 0, 0)).all(axis=2))[1].max()
    assert np.nonzero((np.asarray(sheet) == (0, 0, 128)).all(axis=2))[0].min() > rows.max()


def test_the_expected_picture_is_framed() -> None:
    plain = contact_sheet([Band("a", [tile("red"), tile("blue")])])
    marked = contact_sheet([Band("a", [tile("red"), tile("blue", marked=True)])])
    assert has(plain, GREEN) == 0 < has(marked, GREEN)
    assert has(marked, "blue") == has(plain, "blue") and marked.size == plain.size


def test_words_are_drawn_and_take_room() -> None:
    bare = contact_sheet([Band("", [tile("red")])])
    labelled = contact_sheet([Band("a fox", [tile("red", caption="0.31  larches")])])
    assert labelled.height > bare.height
    assert (np.asarray(labelled) < 200).all(axis=2).sum() > 100


@pytest.mark.parametrize(
    "text", ["x" * 5000, "word " * 3000, "a\nb\tc", "日本 🦊", "\x00\x1b[31m", "", "‮abc"]
)
def test_any_text_fits(text: str) -> None:
    sheet = contact_sheet([Band(text, [tile("red", caption=text, marked=True)] * 4)], side=90)
    assert sheet.width < 500 and sheet.height < 260


def test_pictures_keep_their_shape_and_their_transparency() -> None:
    wide = Image.new("RGBA", (200, 50), (255, 0, 0, 255))
    wide.paste((0, 0, 0, 0), (100, 0, 200, 50))
    sheet = contact_sheet([Band("", [Tile(wide)])], side=100)
    assert has(sheet, "red") == pytest.approx(50 * 25, abs=60)


def test_no_rows_is_a_small_empty_sheet() -> None:
    assert has(contact_sheet([]), "white") == contact_sheet([]).width * contact_sheet([]).height


def test_a_sheet_shows_36_pictures_and_the_next_the_rest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = [saved(tmp_path / "in" / f"{n:02d}.png", noise(8, 8, seed=n)) for n in range(40)]
    store = lay(tmp_path / "library", files)
    export(store, entries(store), tmp_path / "out", "sheet")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["manifest.json", "sheet-01.png", "sheet-02.png"]
    first, second = (Image.open(tmp_path / "out" / name) for name in names[1:])
    assert first.width > second.width and first.height > 5 * second.height


def test_words_stand_on_a_sheet_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = saved(tmp_path / "in" / "a.png", noise())
    sheets = []
    for name, prompt in (("a", "a red fox"), ("b", "an entirely other wording")):
        store = lay(tmp_path / name, [file], [Making("sovgen", prompt=prompt)])
        for metadata in ("none", "prompt"):
            out = tmp_path / f"{name}-{metadata}"
            export(store, entries(store), out, "sheet", metadata)  # type: ignore[arg-type]
            sheets.append((out / "sheet-01.png").read_bytes())
    assert sheets[0] == sheets[2] and sheets[1] != sheets[3]
    assert Image.open(io.BytesIO(sheets[1])).info == {}


def test_letters_that_the_font_lacks_are_no_boxes() -> None:
    assert printable("a caf\u00e9, na\u00efve \u201cfox\u201d") == "a cafe, naive \u201cfox\u201d"
    assert printable("stra\u00dfe \u2013 \u5b57\ufe0f") == "strasse - ?"
    plain, accented = (
        contact_sheet([Band(text, [tile("red", caption=text)])]) for text in ("e", "\u00e9")
    )
    assert plain.tobytes() == accented.tobytes()


def test_a_foot_is_written_below_all() -> None:
    bare, footed = (contact_sheet([Band("", [tile("red")])], foot=foot) for foot in ("", "a fox"))
    assert footed.height > bare.height
    assert has(footed.crop((0, 0, *bare.size)), "red") == has(bare, "red")
