"""index: a library of pictures that words find again.

    library = Library.open("~/Pictures/sovgen")
    answer = library.search(Query("a red fox in the snow"))

Names are loaded when they are first used, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.adding import AddReport, Failure
    from index.answer import Answer, Hit
    from index.backup import Backup
    from index.entry import Entry
    from index.errors import (
        AmbiguousId,
        BadFolder,
        BadQuery,
        DiskFull,
        EncoderDamaged,
        EncoderMismatch,
        EncoderMissing,
        ExportExists,
        LibraryBusy,
        LibraryDamaged,
        LibraryError,
        LibraryExists,
        LibraryNewer,
        LibraryReadOnly,
        NoLibrary,
        NoSuchPicture,
        NoSuchSearch,
        NoSuchSet,
        SetExists,
        UnreadableImage,
    )
    from index.info import Info
    from index.keeping import New
    from index.library import Library
    from index.making import Making
    from index.query import Query
    from index.rebuild import Rebuilt
    from index.reembed import Reembedded
    from index.repair import Repaired
    from index.trash import Trashed
    from index.verify import Difference

_HOMES = {
    "AddReport": "adding",
    "AmbiguousId": "errors",
    "Answer": "answer",
    "Backup": "backup",
    "BadFolder": "errors",
    "BadQuery": "errors",
    "Difference": "verify",
    "DiskFull": "errors",
    "EncoderDamaged": "errors",
    "EncoderMismatch": "errors",
    "EncoderMissing": "errors",
    "Entry": "entry",
    "ExportExists": "errors",
    "Failure": "adding",
    "Hit": "answer",
    "Info": "info",
    "Library": "library",
    "LibraryBusy": "errors",
    "LibraryDamaged": "errors",
    "LibraryError": "errors",
    "LibraryExists": "errors",
    "LibraryNewer": "errors",
    "LibraryReadOnly": "errors",
    "Making": "making",
    "New": "keeping",
    "NoLibrary": "errors",
    "NoSuchPicture": "errors",
    "NoSuchSearch": "errors",
    "NoSuchSet": "errors",
    "Query": "query",
    "Rebuilt": "rebuild",
    "Reembedded": "reembed",
    "Repaired": "repair",
    "SetExists": "errors",
    "Trashed": "trash",
    "UnreadableImage": "errors",
}

__all__ = [
    "AddReport",
    "AmbiguousId",
    "Answer",
    "Backup",
    "BadFolder",
    "BadQuery",
    "Difference",
    "DiskFull",
    "EncoderDamaged",
    "EncoderMismatch",
    "EncoderMissing",
    "Entry",
    "ExportExists",
    "Failure",
    "Hit",
    "Info",
    "Library",
    "LibraryBusy",
    "LibraryDamaged",
    "LibraryError",
    "LibraryExists",
    "LibraryNewer",
    "LibraryReadOnly",
    "Making",
    "New",
    "NoLibrary",
    "NoSuchPicture",
    "NoSuchSearch",
    "NoSuchSet",
    "Query",
    "Rebuilt",
    "Reembedded",
    "Repaired",
    "SetExists",
    "Trashed",
    "UnreadableImage",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"index.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
