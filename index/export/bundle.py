"""The folder of an export: nothing in it is overwritten unasked, and nothing in it is half done.

Everything is written into a hidden folder first, beside the target or, where the target stands
already, inside it (it may be a disk of its own), and is moved in when it is complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from index.atomic import disk_refusals
from index.counting import counted
from index.errors import ExportExists
from index.export.manifest import NAME


@contextmanager
def bundle(
    target: Path, stems: Collection[str], root: Path, force: bool
) -> Iterator[tuple[Path, list[Path]]]:
    """A folder to write into, and a list that holds the final paths once all is moved in.

    stems: names without suffix that will be written; root: the library, where no export belongs
    Raises ExportExists, before anything is written, DiskFull or LibraryReadOnly.
    """
    target = Path(os.path.abspath(target))
    written: list[Path] = []
    with disk_refusals(target):
        _refuse(target, stems, root, force)
        hidden = target if target.is_dir() else target.parent
        out = hidden / f".{target.name}-{secrets.token_hex(4)}.partial"
        hidden.mkdir(parents=True, exist_ok=True)
        try:
            out.mkdir()
            yield out, written
            written += _move_in(out, target, stems)
        finally:
            shutil.rmtree(out, ignore_errors=True)


def _refuse(target: Path, stems: Collection[str], root: Path, force: bool) -> None:
    if target.is_relative_to(root):
        raise ExportExists(f"{target} lies inside the library.", "Choose a folder outside it.")
    if target.exists() and not target.is_dir():
        raise ExportExists(f"{target} is a file.", "Choose a folder.")
    standing = _standing(target, stems)
    if standing and not force:
        raise ExportExists(
            f"{target} holds {counted(len(standing), 'file')} that would be overwritten, "
            f"{standing[0].name} for one.",
            "Choose another folder, or overwrite them with --force.",
        )


def _standing(target: Path, stems: Collection[str]) -> list[Path]:
    """Files in the way: another suffix is in the way, too, or two pictures had one number."""
    if not target.is_dir():
        return []
    return sorted(path for path in target.iterdir() if path.stem in stems)


def _move_in(out: Path, target: Path, stems: Collection[str]) -> list[Path]:
    # the manifest comes last: where it stands, all that it lists does
    names = sorted((path.name for path in out.iterdir()), key=lambda name: (name == NAME, name))
    if not target.exists():
        out.rename(target)
    else:
        for path in _standing(target, stems):
            if path.name not in names:
                path.unlink()
        for name in names:
            os.replace(out / name, target / name)
    return [target / name for name in names]
