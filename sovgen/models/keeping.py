"""Keeping models: a person's own models by name, added, fetched and removed.

The sums of their weights are kept with the name, so that a change can be told later. Knows the
folder of models; knows nothing of what stands in them beyond that they can be read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from index.bundled import BUNDLED
from index.hashes import sha256_of
from sovgen.errors import ModelMissing, ModelUnsupported
from sovgen.models.additions.addition import find_addition
from sovgen.models.additions.kinds import ADAPTER, MODEL, kind_of
from sovgen.models.additions.shelf import find_shelved
from sovgen.models.description import read_layout
from sovgen.models.hub import fetch_model
from sovgen.models.kept import forget, keep
from sovgen.models.layout import Layout
from sovgen.models.progress import OnProgress, metered
from sovgen.models.store import Found, find_model, models_folder
from sovgen.models.wanted import ABOUT, ANY, Choice
from sovgen.models.weights import SAFE

_FETCHING = ".fetching"


def add_model(
    path: Path, name: str | None = None, on_progress: OnProgress = lambda done, total: None
) -> Path:
    """Give a model or an addition that lies elsewhere a name here, by a link: nothing is copied.

    A model's weights are read once, for their sums; stopped meanwhile, the model has no name yet.
    on_progress: called as on_progress(bytes so far, bytes in all)
    Returns where the link stands. Raises what `find_model`, `read_layout` and `find_addition`
    raise, and ModelUnsupported when the name is taken.
    """
    path = Path(os.path.abspath(path.expanduser()))
    kind = kind_of(path)
    layout = None
    if kind in (None, MODEL):
        found = find_model(path)
        layout, own = read_layout(found), found.name
    else:
        own = find_addition(str(kind), str(path)).name
    if kind == ADAPTER and path.is_file():
        raise ModelUnsupported(
            f"{path.name} needs the image encoder that lies beside it.",
            "Add the folder that holds both.",
        )
    place = _free_place(name or own, SAFE if path.is_file() else "")
    place.symlink_to(path, target_is_directory=path.is_dir())
    if layout:
        try:
            # By the link's name, under which they are then remembered for drawing.
            keep(place, _read(_weights(layout, path, place), on_progress))
        except BaseException:
            place.unlink()
            raise
    return place


def pull_model(
    repo: str,
    name: str | None = None,
    revision: str | None = None,
    choice: Choice = ANY,
    on_progress: OnProgress = lambda done, total: None,
) -> Found:
    """Fetch a model from the hub and keep it by name; raises what `fetch_model` raises.

    name: that of the repository, or of the file that was chosen, when not given
    """
    name = name or (Path(choice.file).stem if choice.file else repo.rpartition("/")[2])
    _free_place(name, "")
    folder = models_folder() / f"{_FETCHING}-{name}"
    files = fetch_model(repo, folder, revision=revision, choice=choice, on_progress=on_progress)
    whole = choice.file is None and _is_folder(folder)
    [single] = [folder] if whole else [f for f in files if f.suffix == SAFE]
    place = _free_place(name, SAFE if single.is_file() else "")
    # Before it has its name, so that no model stands there without its sums.
    texts = [] if whole else [file for file in files if file.name in ABOUT]
    _drop_others(folder, files)
    keep(place, _sums(files, single, place), texts)
    single.replace(place)
    if folder.exists():
        shutil.rmtree(folder)
    return find_model(place)


def remove_model(name: str) -> Path:
    """Remove a model or an addition from the folder of models; of one that was added, the name.

    Raises ModelMissing, and ModelUnsupported for the bundled model or one that lies elsewhere.
    """
    found = find_shelved(name)
    if found.bundled or found.path.parent != models_folder():
        raise ModelUnsupported(
            f"{found.name} is not one of those in the folder of models.",
            "Remove its files by hand, where they lie.",
        )
    if found.path.is_symlink() or found.path.is_file():
        found.path.unlink()
    else:
        shutil.rmtree(found.path)
    forget(found.path)
    return found.path


def _drop_others(folder: Path, files: Mapping[Path, str | None]) -> None:
    """Remove what an earlier, other choice has left where files were fetched to."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in files:
            path.unlink()


def _weights(layout: Layout, path: Path, place: Path) -> set[Path]:
    """The weight files of what lies at a path, by their names under another.

    Those that another model lends are not its own.
    """
    files = {file for part in layout.weights.values() for file in part.files}
    own = {file for file in files if file.is_relative_to(path)}
    return {place / file.relative_to(path) for file in own}


def _read(files: set[Path], on_progress: OnProgress) -> dict[Path, str]:
    """The sum of each, told how far it is."""
    on_read = metered(files, on_progress)
    return {file: sha256_of(file, on_read=on_read) for file in sorted(files)}


def _sums(fetched: Mapping[Path, str | None], single: Path, place: Path) -> dict[Path, str]:
    """The sums of the weight files that were fetched, by where they will be."""
    weights = {file: sha256 for file, sha256 in fetched.items() if file.suffix == SAFE}
    return {
        place / file.relative_to(single): sha256 or sha256_of(file)
        for file, sha256 in weights.items()
    }


def _free_place(name: str, suffix: str) -> Path:
    if not name or name.startswith(".") or os.sep in name:
        raise ModelMissing(f"{name!r} cannot be the name of a model.", "Give another by --name.")
    if name == BUNDLED:
        raise ModelUnsupported(f"{name} is the bundled model.", "Give another name by --name.")
    folder = models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if any(
        found.exists() or found.is_symlink() for found in (folder / name, folder / f"{name}{SAFE}")
    ):
        raise ModelUnsupported(f"There is already a model {name}.", "Give another name by --name.")
    return folder / f"{name}{suffix}"


def _is_folder(folder: Path) -> bool:
    return (folder / "model_index.json").is_file()
