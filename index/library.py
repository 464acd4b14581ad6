"""Library: pictures in a folder, found again by words. The public face; the work is elsewhere.

Nothing is held open between two calls, so any number of processes may use one library at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, catchup, makings, migrations, registered, selection, trash
from index.errors import DiskFull, LibraryDamaged, LibraryReadOnly, NoLibrary
from index.placing import make_folders
from index.store import Store

if TYPE_CHECKING:
    from index.adding import AddReport, Mode, OnProgress
    from index.answer import Answer
    from index.backup import Backup
    from index.encoder import Encoder
    from index.entry import Entry
    from index.info import Info
    from index.keeping import New
    from index.making import Making
    from index.query import Query
    from index.rebuild import Rebuilt
    from index.reembed import Reembedded
    from index.repair import Repaired
    from index.trash import Trashed
    from index.verify import Difference

FOLDERS = ("pictures", "vectors", "thumbs", "trash", "locks")


class Library:
    """An open library; `Library.create` and `Library.open` make one.

    root: its folder, absolute
    """

    def __init__(self, root: Path, encoder: Encoder | None = None) -> None:
        self.root = root
        self.store = Store(root)
        self._encoder = encoder

    @classmethod
    def create(cls, root: Path | str, encoder: Encoder | None = None) -> Library:
        """Make an empty library in a folder that holds none; None is the bundled encoder.

        Raises LibraryExists, LibraryReadOnly or DiskFull.
        """
        from index.encoder import load_encoder

        library = cls(_absolute(root), encoder or load_encoder())
        with library.store.translated():
            for name in FOLDERS:
                make_folders(library.root / name)
        library.store.create(lambda connection: registered.begin(connection, library.encoder))
        return library

    @classmethod
    def open(cls, root: Path | str, encoder: Encoder | None = None) -> Library:
        """Open a library and finish what a crash may have left undone.

        encoder: one that is loaded already; otherwise the recorded one is loaded when needed
        Raises NoLibrary, LibraryNewer, LibraryBusy or LibraryDamaged.
        """
        library = cls(_absolute(root), encoder)
        with library.store.reading() as connection:
            is_current = migrations.is_current(connection)
            is_behind = is_current and catchup.is_behind(connection, library.root)
            is_settled = is_current and not is_behind and trash.is_settled(connection)
        if not is_current:
            library.store.upgrade()
        # looking needs nothing finished, so a disk that refuses writing is no hindrance
        with suppress(LibraryReadOnly, DiskFull):
            if is_behind:
                library.store.upgrade()
            if not is_settled:
                trash.settle(library.store)
        return library

    @property
    def encoder(self) -> Encoder:
        """The encoder that the vectors come from, loaded at first use.

        Raises EncoderMissing, EncoderDamaged, or EncoderMismatch when what is loaded from the
        recorded source is no longer the recorded encoder.
        """
        if self._encoder is None:
            from index.encoder import load_encoder

            with self.store.reading() as connection:
                active = registered.active(connection)
            encoder = load_encoder(active.source)
            registered.require(active, encoder)
            self._encoder = encoder
        return self._encoder

    def keep(self, pictures: Sequence[New]) -> list[Entry]:
        """Take in pictures made here: file, vector, tags and rows, all or none."""
        from index.keeping import keep

        return keep(self.store, self.encoder, pictures)

    def add(
        self,
        paths: Iterable[str | Path],
        mode: Mode = "copy",
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Add picture files and folders of them; see `index.adding.add`."""
        from index.adding import add

        return add(self.store, self.encoder, paths, mode, on_progress)

    def search(self, query: Query) -> Answer:
        """The pictures that fit best; see `index.search.search`."""
        from index.search import search

        return search(self.store, query, lambda: self.encoder)

    def list(self, query: Query) -> list[Entry]:
        """The pictures that pass the query's filters, the newest first; a set in its order.

        Words and pictures in the query play no part. Raises BadQuery or NoSuchSet.
        """
        with self.store.reading() as connection:
            numbers = selection.newest(connection, query)
            return catalogue.entries(connection, self.root, numbers.tolist())

    def get(self, prefix: str, hidden: bool = False) -> Entry:
        """The one picture whose id begins so. Raises NoSuchPicture or AmbiguousId.

        hidden: whether it may be one that a hidden set holds
        """
        with self.store.reading() as connection:
            number = catalogue.resolve(connection, prefix, hidden=hidden)
            return catalogue.entries(connection, self.root, [number])[0]

    def makings(self, prefix: str) -> Sequence[Making]:
        """Every recorded making of a picture, the newest first."""
        with self.store.reading() as connection:
            number = catalogue.resolve(connection, prefix, hidden=False)
            return makings.of_picture(connection, number)

    def made_for(self, jobs: Sequence[str]) -> dict[str, str]:
        """The ids of the pictures that were made for these jobs, by the job their making names."""
        with self.store.reading() as connection:
            return makings.of_jobs(connection, jobs)

    def delete(self, ids: Iterable[str]) -> int:
        """Move pictures to the trash, all or none; returns how many."""
        return trash.delete(self.store, ids)

    def trashed(self) -> Sequence[Trashed]:
        """What is in the trash, the newest deletion first."""
        return trash.listed(self.store)

    def restore(self, ids: Iterable[str]) -> int:
        """Bring pictures back from the trash with all that was said of them; returns how many."""
        return trash.restore(self.store, ids)

    def empty_trash(self) -> int:
        """Remove what is in the trash for good; returns how many pictures."""
        return trash.empty(self.store)

    def info(self) -> Info:
        """What the library holds, in numbers."""
        from index.info import describe

        return describe(self.store)

    def verify(self) -> Sequence[Difference]:
        """Every difference between rows, files, vectors and checksums; empty when whole."""
        from index.verify import verify

        return verify(self.store)

    @classmethod
    def repair(cls, root: Path | str, encoder: Encoder | None = None) -> Repaired:
        """Mend what `verify` finds, also in a library that cannot be opened, and say what was done.

        Raises LibraryDamaged when its catalogue cannot be read at all.
        """
        from index.repair import repair

        library = cls(_absolute(root), encoder)
        return repair(library.store, lambda: library.encoder)

    @classmethod
    def rebuild(
        cls,
        root: Path | str,
        encoder: Encoder | None = None,
        on_progress: OnProgress | None = None,
    ) -> Rebuilt:
        """Make the catalogue again from picture files and journal; see `index.rebuild.rebuild`.

        encoder: None is the one that the old catalogue names, or the bundled one without it
        Raises LibraryNewer; that one would lose what only a newer version knows.
        """
        from index.encoder import load_encoder
        from index.rebuild import rebuild

        library = cls(_absolute(root), encoder)
        with suppress(NoLibrary, LibraryDamaged):
            with library.store.reading():
                pass  # a newer one is refused here
            encoder = library.encoder
        return rebuild(library.root, encoder or load_encoder(), on_progress)

    def backup(self, path: Path | str) -> Backup:
        """Write the whole library into a new file; see `index.backup.backup`."""
        from index.backup import backup

        return backup(self.store, _absolute(path))

    @classmethod
    def from_backup(cls, path: Path | str, root: Path | str) -> Library:
        """Lay the library of a backup in an empty folder and open it."""
        from index.backup import restore

        restore(_absolute(path), _absolute(root))
        return cls.open(root)

    def refresh(self) -> bool:
        """Do what searches are owed here and now, which otherwise a process of its own does.

        Returns whether there was anything to do; see `index.upkeep`. Searches are right without,
        but for words that were written since and are looked up a few at a time.
        """
        from index.upkeep import do

        return do(self.store, lambda: self.encoder)

    def reembed(self, encoder: Encoder, on_progress: OnProgress | None = None) -> Reembedded:
        """Go over to another encoder; see `index.reembed.reembed`."""
        from index.reembed import reembed

        done = reembed(self.store, encoder, on_progress)
        self._encoder = encoder
        return done


def _absolute(root: Path | str) -> Path:
    return Path(os.path.abspath(Path(root).expanduser()))
