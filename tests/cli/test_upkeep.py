"""A library through the years: trash, repair, rebuild, backup and restore."""

from __future__ import annotations

import json
from pathlib import Path

from index import Library, Query
from index.encoder import load_encoder
from tests.cli.conftest import Cli
from tests.tiny_clip import open_clip_folder


def ids(root: Path) -> set[str]:
    return {entry.id for entry in Library.open(root).list(Query(k=None))}


def test_what_was_deleted_comes_back_with_what_was_said_of_it(cli: Cli, library: Path) -> None:
    before = ids(library)
    chosen = min(before)
    cli(library, "rate", chosen[:8], 5)
    assert cli(library, "delete", chosen[:8]).exit_code == 0
    assert ids(library) == before - {chosen}
    listed = json.loads(cli(library, "trash", "list", "--json").stdout)
    assert [one["id"] for one in listed] == [chosen]
    assert cli(library, "trash", "restore", chosen[:8]).exit_code == 0
    assert ids(library) == before
    assert Library.open(library).get(chosen).rating == 5


def test_the_trash_is_emptied_only_when_that_is_meant(cli: Cli, library: Path) -> None:
    chosen = min(ids(library))
    cli(library, "delete", chosen[:8])
    assert cli(library, "trash", "empty").exit_code == 1
    assert len(Library.open(library).trashed()) == 1
    assert cli(library, "trash", "empty", "--yes").exit_code == 0
    assert not Library.open(library).trashed()


def test_repair_mends_what_verify_finds(cli: Cli, library: Path) -> None:
    entry = Library.open(library).list(Query(k=1))[0]
    entry.path.rename(entry.path.with_name("moved.png"))
    found = cli(library, "library", "verify")
    assert found.exit_code == 1
    assert "sovgen library repair" in found.stderr
    mended = cli(library, "library", "repair")
    assert mended.exit_code == 0, mended.stdout
    assert mended.stdout
    assert cli(library, "library", "verify").exit_code == 0


def test_a_lost_file_is_no_reason_to_rebuild(cli: Cli, library: Path) -> None:
    Library.open(library).list(Query(k=1))[0].path.unlink()
    done = cli(library, "library", "repair")
    assert done.exit_code == 1 and "Put the files back" in done.stderr, done.output


def test_what_an_older_catalogue_lacks_is_put_back_and_said_once(cli: Cli, library: Path) -> None:
    chosen = min(ids(library))
    old = (library / "library.duckdb").read_bytes()
    cli(library, "rate", chosen[:8], 5)
    (library / "library.duckdb").write_bytes(old)
    told = cli(library, "show", chosen[:8]).stderr
    assert told == "The catalogue had lost changes of 1 thing; they were put back.\n"
    assert Library.open(library).get(chosen).rating == 5
    assert cli(library, "show", chosen[:8]).stderr == ""


def test_a_lost_catalogue_is_made_again(cli: Cli, library: Path) -> None:
    before = ids(library)
    chosen = min(before)
    cli(library, "tag", chosen[:8], "kept")
    (library / "library.duckdb").unlink()
    assert cli(library, "list").exit_code == 1
    assert cli(library, "library", "rebuild").exit_code == 0
    assert ids(library) == before
    assert "kept" in Library.open(library).get(chosen).tags
    again = cli(library, "library", "rebuild").stderr
    assert f"The old catalogue is kept as {library / 'library.replaced-1.duckdb'}.\n" in again
    assert (library / "library.replaced-1.duckdb").is_file()


def test_a_lost_catalogue_is_made_again_by_the_encoder_that_is_named(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    other = open_clip_folder(tmp_path / "other")
    (library / "library.duckdb").unlink()
    told = cli(library, "library", "rebuild", "--encoder", other).stderr
    assert told.endswith(f"embedded by {Library.open(library).encoder.name}.\n")
    assert Library.open(library).encoder.fingerprint == load_encoder(str(other)).fingerprint


def test_a_backup_is_the_library_and_never_overwrites(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    file, laid = tmp_path / "library.backup", tmp_path / "laid"
    assert cli(library, "library", "backup", file).exit_code == 0
    assert cli(library, "library", "backup", file).exit_code == 1
    assert cli(library, "library", "restore", file, laid).exit_code == 0
    assert ids(laid) == ids(library)
    assert not Library.open(laid).verify()
