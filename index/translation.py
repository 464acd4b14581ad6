"""What DuckDB and the disk say, in this library's own words.

Knows messages and error numbers; knows nothing of what was being done.
"""

from __future__ import annotations

import errno

from index.errors import (
    DiskFull,
    LibraryBusy,
    LibraryDamaged,
    LibraryError,
    LibraryNewer,
    LibraryReadOnly,
)


def is_locked(error: Exception) -> bool:
    """Whether another program holds the catalogue's file."""
    return "could not set lock" in str(error).lower()


def translate(error: Exception) -> LibraryError | None:
    """Our word for DuckDB's or the system's error; None when it is no business of a library."""
    if isinstance(error, OSError):
        return _translate_number(error.errno)
    text = str(error).lower()
    for signs, ours in _SIGNS:
        if any(sign in text for sign in signs):
            return ours()
    return None


def _translate_number(number: int | None) -> LibraryError | None:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _full()
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return _read_only()
    return None


def _busy() -> LibraryError:
    return LibraryBusy(
        "Another program holds the library's catalogue.",
        "Close it and try again; nothing was changed.",
    )


def _newer() -> LibraryError:
    return LibraryNewer(
        "The library was written by a newer version.",
        "Update sovgen; the library was not touched.",
    )


def _full() -> LibraryError:
    return DiskFull(
        "No room is left on the disk.",
        "Free some and try again; everything kept before is safe.",
    )


def _read_only() -> LibraryError:
    return LibraryReadOnly(
        "The library's folder or disk refuses writing.",
        "Searching works; to change it, make the folder writable or copy the library.",
    )


def _damaged() -> LibraryError:
    return LibraryDamaged(
        "The library's catalogue is damaged and cannot be read.",
        "Run: sovgen library repair. The picture files are not affected.",
    )


_SIGNS = (
    (("could not set lock",), _busy),
    (("with version number", "newer version", "storage version"), _newer),
    (("no space left", "disk full", "out of disk"), _full),
    (("read-only file system", "permission denied"), _read_only),
    (
        ("not a valid duckdb", "corrupt", "checksum", "failure while replaying wal", "invalidated"),
        _damaged,
    ),
)
