"""Exports: complete or not at all, over nothing, and telling exactly as much as was asked."""

from __future__ import annotations

import csv
import getpass
import hashlib
import json
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import get_args

import duckdb
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index import curate
from index.errors import BadQuery, ExportExists, LibraryReadOnly, UnreadableImage
from index.export import Format, export
from index.making import Making
from index.record import read_picture
from index.store import Store
from tests.index.samples import nobody, noise, saved
from tests.index.shelf import MADE, entries, lay
from tests.index.test_export_cleaning import inflated

PROMPT = "a vermilion fox beneath snowclad larches"
NEGATIVE = "watermarked blurriness"
NOTE = "for the autumnal cover"
MAKING = Making(
    producer="sovgen",
    prompt=PROMPT,
    negative=NEGATIVE,
    model="/home/somebody/checkpoints/sovgen-mini",
    model_hash="9f" * 32,
    sampler="euler",
    steps=20,
    guidance=7.5,
    seed=2**63 + 1,
    width=24,
    height=16,
    device="cpu",
    dtype="bfloat16",
    duration=1.25,
    encoder_match="shared",
    made=MADE,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A library of a PNG that tells everything, a JPEG that does, too, and a picture of a phone."""
    folder = tmp_path_factory.mktemp("secretplace") / "vermilion-fox"
    folder.mkdir()
    notes = PngInfo()
    notes.add_itxt("sovgen", json.dumps({"recipe": {"prompt": PROMPT}}))
    notes.add_text("parameters", f"{PROMPT}\nNegative prompt: {NEGATIVE}", zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x0132] = PROMPT, "2026:03:04 05:06:07"
    exif[0x013C] = "workstation-of-somebody"
    files = [
        saved(folder / "vermilion fox.png", noise(seed=1), pnginfo=notes, exif=exif),
        saved(folder / "larches.jpg", noise(seed=2), exif=exif, comment=PROMPT.encode()),
        saved(folder / "phone.jpg", noise(seed=3), exif=turned(exif)),
    ]
    made = lay(tmp_path_factory.mktemp("library"), files, [MAKING] * 3)
    first = entries(made)[0].id
    curate.tag(made, [first], ["fox", "=1+1"])
    curate.note(made, [first], NOTE)
    curate.rate(made, [first], 4)
    curate.new_set(made, "vermilion")
    curate.add_to_set(made, "vermilion", [first])
    return made


def turned(exif: Image.Exif) -> Image.Exif:
    copy = Image.Exif()
    copy.load(exif.tobytes())
    copy[0x0112] = 6
    return copy


def everything(folder: Path) -> list[bytes]:
    """Every byte of an export, as written and as unpacked, and the names of its files."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes()
        found += [os.fsencode(path.name), data, *inflated(data)]
    return found


def said(folder: Path, word: str) -> bool:
    spellings = [word.lower().encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    return any(s in data.lower() for data in everything(folder) for s in spellings)


def written(folder: Path) -> set[str]:
    """Every word of the tables and of the files' names: what is too short to seek in pixels."""
    tables = [path for path in folder.iterdir() if path.suffix in (".json", ".jsonl", ".csv")]
    texts = [path.read_text("utf-8") for path in tables]
    return set(re.findall(r"[\w-]+", " ".join([*names(folder), *texts]).lower()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def table(folder: Path, shape: str) -> list[dict[str, object]]:
    """The rows of an export in any of the formats that has some."""
    if shape == "csv":
        with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if shape == "jsonl":
        lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]
    if shape == "parquet":
        result = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/metadata.parquet')")
        return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
    return json.loads((folder / "manifest.json").read_text("utf-8"))["pictures"]


class TestWhatLeaves:
    @pytest.mark.parametrize("shape", get_args(Format))
    def test_with_none_no_byte_tells_of_prompt_place_person_or_time(
        self, store: Store, tmp_path: Path, shape: Format
    ) -> None:
        out = tmp_path / "out"
        export(store, entries(store), out, shape)
        words = re.findall(r"\w+", f"{PROMPT} {NEGATIVE} {NOTE}")
        places = [part for entry in entries(store) for part in entry.path.parts]
        people = ["somebody", "2026:03:04", "2026-03-04"]
        makings = ["euler", "9f9f9f", "checkpoints", str(MAKING.seed), entries(store)[0].id]
        for word in [*words, *places, *store.root.parts, *people, *makings]:
            assert len(word) < 5 or not said(out, word), word
        assert not written(out) & {socket.gethostname().lower(), getpass.getuser().lower()}

    @pytest.mark.parametrize("shape", ["folder", "csv", "jsonl", "parquet"])
    def test_with_prompt_the_table_has_it_and_the_files_have_not(
        self, store: Store, tmp_path: Path, shape: Format
    ) -> None:
        out = tmp_path / "out"
        export(store, entries(store), out, shape, "prompt")
        assert [row["prompt"] for row in table(out, shape)] == [PROMPT] * 3
        for word in (NEGATIVE, "autumnal", "secretplace", "somebody", "2026-03-04", "euler"):
            assert not said(out, word), word
        for path in out.glob("0*"):
            (tmp_path / "alone").mkdir(exist_ok=True)
            path.rename(tmp_path / "alone" / path.name)
        assert not said(tmp_path / "alone", "vermilion")

    def test_with_full_files_are_as_they_are_and_places_stay_unsaid(
        self, store: Store, tmp_path: Path
    ) -> None:
        export(store, entries(store), tmp_path / "out", "jsonl", "full")
        for entry, row in zip(entries(store), table(tmp_path / "out", "jsonl"), strict=True):
            assert (tmp_path / "out" / str(row["file_name"])).read_bytes() == (
                entry.path.read_bytes()
            )
        tables = [tmp_path / "out" / name for name in ("manifest.json", "metadata.jsonl")]
        text = "".join(path.read_text("utf-8") for path in tables)
        for word in ("secretplace", "somebody", str(store.root)):
            assert word not in text, word
        assert socket.gethostname().lower() not in written(tmp_path / "out")

    @pytest.mark.parametrize("shape", ["folder", "csv", "jsonl", "parquet"])
    def test_with_full_every_column_goes_along(
        self, store: Store, tmp_path: Path, shape: Format
    ) -> None:
        export(store, entries(store), tmp_path / "out", shape, "full")
        row = table(tmp_path / "out", shape)[0]
        expected = {
            "file_name": "000001.png",
            "width": 24,
            "height": 16,
            "media": "image/png",
            "id": entries(store)[0].id,
            "prompt": PROMPT,
            "negative": NEGATIVE,
            "model": "sovgen-mini",
            "seed": 2**63 + 1,
            "steps": 20,
            "guidance": 7.5,
            "duration": 1.25,
            "rating": 4,
            "note": NOTE,
            "tags": ["=1+1", "fox"],
            "sets": ["vermilion"],
            "made": "2026-03-04T05:06:07+00:00",
        }
        if shape == "csv":
            lists = {"tags": "'=1+1; fox", "sets": "vermilion"}
            expected = {k: str(v) for k, v in expected.items()} | lists
        assert {name: row[name] for name in expected} == expected

    def test_pictures_keep_their_ids_and_their_order(self, store: Store, tmp_path: Path) -> None:
        chosen = entries(store)[::-1]
        export(store, chosen, tmp_path / "out")
        assert names(tmp_path / "out") == [
            "000001.png",  # the phone's, upright
            "000002.jpg",
            "000003.png",
            "manifest.json",
        ]
        found = [read_picture(path)[0].id for path in sorted((tmp_path / "out").glob("0*"))]
        assert found == [entry.id for entry in chosen]

    @pytest.mark.parametrize("shape", get_args(Format))
    def test_the_manifest_has_the_checksum_of_every_file(
        self, store: Store, tmp_path: Path, shape: Format
    ) -> None:
        paths = export(store, entries(store), tmp_path / "out", shape, "full")
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
        sums = {file["name"]: (file["sha256"], file["bytes"]) for file in manifest["files"]}
        others = [path for path in (tmp_path / "out").iterdir() if path.name != "manifest.json"]
        assert sums == {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
            for path in others
        }
        assert sorted(paths) == sorted((tmp_path / "out").iterdir())

    def test_the_same_export_gives_the_same_bytes(self, store: Store, tmp_path: Path) -> None:
        for name in ("a", "b"):
            export(store, entries(store), tmp_path / name, "csv", "prompt")
        assert everything(tmp_path / "a") == everything(tmp_path / "b")

    def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless(
        self, store: Store, tmp_path: Path
    ) -> None:
        chosen = [
            replace(entry, prompt=f"{sign}cmd()", adherence=-0.5)
            for entry, sign in zip(entries(store), "=+@", strict=True)
        ]
        export(store, chosen, tmp_path / "csv", "csv", "full")
        rows = table(tmp_path / "csv", "csv")
        assert [row["prompt"] for row in rows] == ["'=cmd()", "'+cmd()", "'@cmd()"]
        assert rows[0]["adherence"] == "-0.5"
        export(store, chosen, tmp_path / "jsonl", "jsonl", "prompt")
        assert table(tmp_path / "jsonl", "jsonl")[0]["prompt"] == "=cmd()"

    def test_progress_is_told(self, store: Store, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        for shape in ("folder", "sheet"):
            export(
                store,
                entries(store),
                tmp_path / shape,
                shape,  # type: ignore[arg-type]
                on_progress=lambda done, total: seen.append((done, total)),
            )
        assert seen == [(1, 3), (2, 3), (3, 3)] * 2


class TestNothingIsOverwritten:
    def test_an_export_that_stands_is_left_alone(self, store: Store, tmp_path: Path) -> None:
        export(store, entries(store), tmp_path / "out")
        before = everything(tmp_path / "out")
        with pytest.raises(ExportExists, match="4 files that would be overwritten") as caught:
            export(store, entries(store)[:1] * 4, tmp_path / "out", "csv", "full")
        assert "--force" in caught.value.hint
        assert everything(tmp_path / "out") == before

    def test_with_force_it_is_replaced_and_other_files_stay(
        self, store: Store, tmp_path: Path
    ) -> None:
        export(store, entries(store)[1:2], tmp_path / "out")
        (tmp_path / "out" / "mine.txt").write_text("mine")
        export(store, entries(store)[:1], tmp_path / "out", force=True)
        assert names(tmp_path / "out") == ["000001.png", "manifest.json", "mine.txt"]
        assert (tmp_path / "out" / "mine.txt").read_text() == "mine"

    def test_a_number_that_stands_with_another_suffix_is_in_the_way(
        self, store: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "000001.webp").touch()
        with pytest.raises(ExportExists, match=r"000001\.webp"):
            export(store, entries(store)[:1], tmp_path)

    def test_a_folder_with_other_files_is_used(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").touch()
        export(store, entries(store)[:1], tmp_path)
        assert names(tmp_path) == ["000001.png", "manifest.json", "mine.txt"]

    def test_folders_above_are_made(self, store: Store, tmp_path: Path) -> None:
        export(store, entries(store)[:1], tmp_path / "a" / "b")
        assert names(tmp_path / "a") == ["b"]

    def test_a_file_in_place_of_the_folder_is_refused(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        with pytest.raises(ExportExists, match="is a file"):
            export(store, entries(store), tmp_path / "out", force=True)

    def test_the_library_itself_is_no_place_for_an_export(self, store: Store) -> None:
        with pytest.raises(ExportExists, match="inside the library"):
            export(store, entries(store), store.root / "pictures" / "out")

    @pytest.mark.parametrize("stands", [True, False])
    def test_an_interruption_leaves_no_file(
        self, store: Store, tmp_path: Path, stands: bool
    ) -> None:
        out = tmp_path / "out"
        if stands:
            out.mkdir()

        def interrupt(done: int, total: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export(store, entries(store), out, on_progress=interrupt)
        assert list(tmp_path.rglob("*")) == ([out] if stands else [])

    def test_a_folder_that_refuses_is_said_so(self, store: Store, tmp_path: Path) -> None:
        chosen = entries(store)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with nobody(), pytest.raises(LibraryReadOnly, match="Cannot write into"):
            export(store, chosen, closed / "out")
        assert list(closed.iterdir()) == []


class TestWhatCannotLeave:
    def test_nothing_is_no_export(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(BadQuery, match="nothing to export"):
            export(store, [], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_unknown_choices_are_named(self, store: Store, tmp_path: Path) -> None:
        for choice in ({"format": "zip"}, {"metadata": "some"}):
            with pytest.raises(BadQuery) as caught:
                export(store, entries(store), tmp_path / "out", **choice)  # type: ignore[arg-type]
            assert "folder" in caught.value.hint or "none" in caught.value.hint

    def test_a_picture_that_changed_on_disk_is_not_served(
        self, ground: tuple[Store, Path], tmp_path: Path
    ) -> None:
        store, path = ground
        saved(path, noise(seed=99))
        with pytest.raises(UnreadableImage, match="another picture"):
            export(store, entries(store), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_picture_that_is_gone_is_taken_from_its_other_file(
        self, ground: tuple[Store, Path], tmp_path: Path
    ) -> None:
        store, path = ground
        copy = path.rename(tmp_path / "copy.png")
        with pytest.raises(UnreadableImage, match="no such file"):
            export(store, entries(store), tmp_path / "out")
        with store.writing() as connection:
            connection.execute(
                "INSERT INTO files SELECT picture, ?, NULL, false, false, file_sha256, bytes, "
                "mtime_ns FROM files",
                [str(copy)],
            )
        export(store, entries(store), tmp_path / "out")
        assert "000001.png" in names(tmp_path / "out")

    def test_a_parquet_into_a_folder_that_is_not_utf8(self, store: Store, tmp_path: Path) -> None:
        out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcchse"))
        with pytest.raises(BadQuery, match="UTF-8"):
            export(store, entries(store), out, "parquet")
        export(store, entries(store), out, "jsonl")
        assert len(names(out)) == 5

    @pytest.fixture
    def ground(self, tmp_path: Path) -> tuple[Store, Path]:
        (tmp_path / "pictures").mkdir()
        path = saved(tmp_path / "pictures" / "a.png", noise())
        return lay(tmp_path / "library", [path]), path
