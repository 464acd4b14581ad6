"""A file's hash is right whatever happened to the file, the cache or another process."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from index.bundled import bundled_model
from index.hashes import changed_files, remembered, sha256_of

LONG_AGO = 1_700_000_000_000_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOVGEN_CACHE", str(folder))
    return folder


def settled(path: Path, data: bytes, mtime_ns: int = LONG_AGO) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_the_hash_is_that_of_the_bytes(tmp_path: Path, cache: Path) -> None:
    file = settled(tmp_path / "weights", b"abc")
    assert sha256_of(file) == sha256_of(file) == digest(b"abc")


def test_a_known_file_is_not_read_again(tmp_path: Path, cache: Path) -> None:
    file = settled(tmp_path / "weights", b"abc")
    sha256_of(file)
    settled(file, b"xyz")
    assert sha256_of(file) == digest(b"abc")
    assert sha256_of(file, fresh=True) == digest(b"xyz")
    assert sha256_of(file) == digest(b"xyz")


def test_a_new_time_or_size_is_read_again(tmp_path: Path, cache: Path) -> None:
    file = settled(tmp_path / "weights", b"abc")
    sha256_of(file)
    settled(file, b"xyz", LONG_AGO + 1)
    assert sha256_of(file) == digest(b"xyz")
    settled(file, b"longer", LONG_AGO + 1)
    assert sha256_of(file) == digest(b"longer")


def test_a_file_still_being_written_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "weights"
    for data in (b"abc", b"xyz"):
        file.write_bytes(data)
        assert sha256_of(file) == digest(data)


def test_a_damaged_cache_costs_time_only(tmp_path: Path, cache: Path) -> None:
    file = settled(tmp_path / "weights", b"abc")
    sha256_of(file)
    for rubbish in (b"", b"{", b"[]", b"null", b'{"state": 1}', b"\xff\x00"):
        for entry in entries(cache):
            entry.write_bytes(rubbish)
        assert sha256_of(file) == digest(b"abc")


def test_a_cache_that_cannot_be_made_costs_time_only(tmp_path: Path, cache: Path) -> None:
    cache.write_bytes(b"a file stands where the folder should be")
    assert sha256_of(settled(tmp_path / "weights", b"abc")) == digest(b"abc")


def test_the_cache_is_private_and_tells_no_names(tmp_path: Path, cache: Path) -> None:
    sha256_of(settled(tmp_path / "secret-name", b"abc"))
    (entry,) = entries(cache)
    assert b"secret-name" not in entry.read_bytes() and "secret-name" not in str(entry.name)
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


def test_concurrent_writers_leave_whole_entries(tmp_path: Path, cache: Path) -> None:
    files = [settled(tmp_path / f"f{i % 4}", bytes([i % 4]) * 1000) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: sha256_of(path, fresh=True), files))
    assert found == [digest(path.read_bytes()) for path in files]
    assert len(entries(cache)) == 4
    assert [sha256_of(path) for path in files] == found


def test_a_value_of_several_files_follows_each(tmp_path: Path, cache: Path) -> None:
    one, two = settled(tmp_path / "one", b"1"), settled(tmp_path / "two", b"2")

    def joined() -> str:
        return (one.read_bytes() + two.read_bytes()).decode()

    assert remembered("joined", [one, two], joined) == "12"
    settled(two, b"3", LONG_AGO + 5)
    assert remembered("joined", [one, two], joined) == "13"
    assert remembered("another value", [one, two], lambda: "else") == "else"


def test_a_missing_file_is_an_error(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "nowhere")


def test_published_sums_find_a_changed_byte_and_a_missing_file(tmp_path: Path, cache: Path) -> None:
    kept, changed = settled(tmp_path / "kept", b"a"), settled(tmp_path / "changed", b"b")
    lines = [f"{digest(b'a')}  kept", f"{digest(b'b')}  changed", f"{digest(b'c')}  gone"]
    (tmp_path / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert changed_files(tmp_path) == ["gone"]
    settled(changed, b"B", LONG_AGO + 1)
    assert changed_files(tmp_path) == ["changed", "gone"]
    assert changed_files(tmp_path, among=[kept]) == []


@pytest.mark.parametrize("sums", [b"nonsense\n", b"\xff\xfe  name\n", b"ab12\n\n"])
def test_sums_that_are_none_differ(tmp_path: Path, cache: Path, sums: bytes) -> None:
    (tmp_path / "SHA256SUMS").write_bytes(sums)
    assert len(changed_files(tmp_path)) == 1


def test_every_file_of_the_bundled_model_is_as_published(cache: Path) -> None:
    folder = bundled_model()
    listed = (folder / "SHA256SUMS").read_text().split()[1::2]
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == present - {"SHA256SUMS"}
    assert changed_files(folder) == []
