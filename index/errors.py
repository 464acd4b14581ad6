"""What can go wrong in a library, as a tree.

    LibraryError
    ├── NoLibrary            the folder holds no library
    ├── BadFolder            a file, or a folder in which none can stand because of its name
    ├── LibraryExists        a library already stands where one was to be made
    ├── LibraryBusy          another process kept it locked too long
    ├── LibraryNewer         written by a newer version: never touched
    ├── LibraryReadOnly      the folder or the disk refuses writing
    ├── LibraryDamaged       the catalogue itself cannot be read
    ├── DiskFull             no room left; what was kept before stands
    ├── EncoderMissing       the recorded or named encoder is not on this machine
    ├── EncoderDamaged       its files are corrupt, truncated or of an unknown kind
    ├── EncoderMismatch      another encoder than the one the vectors came from
    ├── UnreadableImage      not a picture, truncated, or too large to decode
    ├── NoSuchPicture        no id begins with that prefix
    ├── AmbiguousId          several ids do
    ├── NoSuchSet            no set of that name
    ├── SetExists            a set of that name stands already
    ├── NoSuchSearch         no search was saved under that name
    ├── BadQuery             a predicate, date or weight that cannot be understood
    └── ExportExists         the target holds files that would be overwritten

Every error carries what happened and what to do about it; neither names a host or a user.
This file knows nothing of how an error reaches a person.
"""

from __future__ import annotations

import os


class LibraryError(Exception):
    """Something a person can read and act on: a message and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoLibrary(LibraryError):
    """The folder holds no library."""


class BadFolder(LibraryError):
    """A folder in which no library can stand because of its name, or a file; `why` is bare."""

    def __init__(self, folder: str | os.PathLike[str], why: str) -> None:
        name = os.fsencode(folder).decode("utf-8", "backslashreplace")
        super().__init__(f"No library can stand in {name}: {why}.", "Name another folder.")


class LibraryExists(LibraryError):
    """A library already stands where one was to be made."""


class LibraryBusy(LibraryError):
    """Another process kept the library locked for longer than the patience given."""


class LibraryNewer(LibraryError):
    """The library was written by a newer version; it is refused, never touched."""


class LibraryReadOnly(LibraryError):
    """The folder or the disk refuses writing."""


class LibraryDamaged(LibraryError):
    """The catalogue itself cannot be read."""


class DiskFull(LibraryError):
    """No room is left; what was acknowledged before stands."""


class EncoderMissing(LibraryError):
    """The recorded or named encoder is not on this machine."""


class EncoderDamaged(LibraryError):
    """The encoder's files are corrupt, truncated or of a kind that cannot be read."""


class EncoderMismatch(LibraryError):
    """Another encoder than the one that the library's vectors came from."""


class UnreadableImage(LibraryError):
    """Not a picture, truncated, or too large to decode; `reason` is the bare why."""

    def __init__(self, path: str | os.PathLike[str], reason: str, hint: str = "") -> None:
        # A name that is not UTF-8 must still be printable in a message.
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        super().__init__(f"Cannot read {name}: {reason}.", hint)
        self.path = os.fspath(path)
        self.reason = reason


class NoSuchPicture(LibraryError):
    """No picture's id begins with that prefix."""


class AmbiguousId(LibraryError):
    """Several pictures' ids begin with that prefix."""


class NoSuchSet(LibraryError):
    """No set has that name."""


class SetExists(LibraryError):
    """A set of that name stands already."""


class NoSuchSearch(LibraryError):
    """No search was saved under that name."""


class BadQuery(LibraryError):
    """A predicate, date or weight that cannot be understood."""


class ExportExists(LibraryError):
    """The target holds files that would be overwritten."""
