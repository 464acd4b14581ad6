"""What the contents of files amount to, remembered so that a large file is read once.

A value is remembered by the path, size and modification time of every file it was derived from,
each in its own small file of the user's cache folder (`SOVGEN_CACHE` overrides it). The names in
the cache are digests, so that it does not tell which files were seen. A cache that is missing,
damaged or cannot be written costs time, never correctness. Knows nothing of what the files hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from index.atomic import write_atomically
from index.errors import LibraryError

SUMS = "SHA256SUMS"

# A file changed twice within one tick of its file system's clock keeps its modification time,
# so that what was read of a file this young is not remembered.
_SETTLED_S = 2.0
_BLOCK = 4 * 2**20

# Told how many bytes more were read.
OnRead = Callable[[int], None]


def sha256_of(path: Path, *, fresh: bool = False, on_read: OnRead = lambda read: None) -> str:
    """The file's sha256 in hex; `fresh` reads it again whatever is remembered.

    Raises:
        OSError: the file cannot be read.
    """
    return remembered("sha256", [path], lambda: _digest(path, on_read), fresh=fresh)


def remembered(
    what: str, files: Sequence[Path], derive: Callable[[], str], *, fresh: bool = False
) -> str:
    """The value that `derive` gets from the contents of `files`, derived again when one changed.

    Raises:
        OSError: one of the files is missing.
    """
    state = _state(files)
    place = _place(what, files)
    if not fresh and (value := _recall(place, state)) is not None:
        return value
    value = derive()
    if _settled(state):
        _keep(place, state, value)
    return value


def changed_files(
    folder: Path,
    among: Iterable[Path] = (),
    *,
    sums: Mapping[str, str] | None = None,
    fresh: bool = False,
    on_read: OnRead = lambda read: None,
) -> list[str]:
    """The names, relative to `folder`, of files that differ from its SHA256SUMS or are missing.

    `among` narrows the check to those files. `sums`, by such names, are compared with in place of
    the folder's own. A folder without sums has nothing to differ from.
    """
    wanted = {path.resolve() for path in among}
    sums = published_sums(folder) if sums is None else sums
    named = {name: (folder / name).resolve() for name in sums}
    checked = (name for name, path in named.items() if not wanted or path in wanted)
    return [name for name in checked if not _is(named[name], sums[name], fresh, on_read)]


def published_sums(folder: Path) -> dict[str, str]:
    """The folder's SHA256SUMS, as `{relative name: hex}`; empty when there is none.

    A line that is none of sums stands for itself, and is the sum of nothing.
    """
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.strip().partition(" ") for line in lines if line.strip())
    return {name.strip().lstrip("*") or first: first for first, _, name in pairs}


def cache_folder() -> Path:
    """The user's cache folder: `SOVGEN_CACHE`, or the platform's own."""
    if chosen := os.environ.get("SOVGEN_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("sovgen")


def _digest(path: Path, on_read: OnRead) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            on_read(len(block))
    return digest.hexdigest()


def _is(path: Path, digest: str, fresh: bool, on_read: OnRead) -> bool:
    return path.is_file() and sha256_of(path, fresh=fresh, on_read=on_read) == digest


def _state(files: Sequence[Path]) -> list[list[int]]:
    stats = [path.stat() for path in files]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def _settled(state: list[list[int]]) -> bool:
    now = time.time_ns()
    return all(abs(now - mtime) > _SETTLED_S * 1e9 for _, mtime in state)


def _place(what: str, files: Sequence[Path]) -> Path:
    names = json.dumps([what, *(os.path.abspath(path) for path in files)])
    return cache_folder() / "hashes" / hashlib.sha256(names.encode()).hexdigest()[:40]


def _recall(place: Path, state: list[list[int]]) -> str | None:
    try:
        entry = json.loads(place.read_bytes())
        return str(entry["value"]) if entry["state"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(place: Path, state: list[list[int]], value: str) -> None:
    # Writers race only to replace one whole entry by another of the same meaning.
    with contextlib.suppress(OSError, LibraryError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(place, json.dumps({"state": state, "value": value}).encode())
