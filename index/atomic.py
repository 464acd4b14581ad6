"""Files that are there whole or not at all.

Bytes go to a temporary name beside the target and are renamed over it, so a reader, or the next
run after a crash, never meets half a file. Files are for their owner alone (0600).
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from index.errors import DiskFull, LibraryReadOnly

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write data to path, replacing what is there; durable also waits for the disk.

    Raises DiskFull or LibraryReadOnly; what stood at path before stands still.
    """
    with replacing(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of path on a clean exit; as `write_atomically`."""
    with disk_refusals(path.parent):
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # an interrupted write leaves nothing behind either
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if durable:
            sync_folder(path.parent)


@contextlib.contextmanager
def disk_refusals(folder: Path) -> Iterator[None]:
    """Turn the disk's own refusals within into DiskFull and LibraryReadOnly."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"No room left on the disk of {folder}.",
                "What was kept before is safe; free some space and try again.",
            ) from error
        if error.errno in _REFUSED:
            raise LibraryReadOnly(
                f"Cannot write into {folder}.", "Make the folder writable, or choose another."
            ) from error
        raise


def give_name(source: Path, target: Path) -> None:
    """Let a file have a name that must be free; the old one may stay, and is the caller's to drop.

    Raises FileExistsError, and OSError with EXDEV where the name is on another disk.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.EXDEV):
            raise
        # No hard links here (FAT, some network disks): reserve the name, then rename over it.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.replace(source, target)


def sync_folder(folder: Path) -> None:
    """Make a rename last: on POSIX a folder's entries reach the disk by their own fsync."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
