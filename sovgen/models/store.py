"""Where models are: the bundled one, the user's model folders, any path.

Turns a name or a path into a place on disk. Knows nothing of what stands in the files beyond
telling a diffusers folder from a single file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from index.bundled import BUNDLED, bundled_model
from sovgen.errors import ModelMissing, ModelUnsupported
from sovgen.models.folder import is_folder
from sovgen.models.weights import SAFE, refuse_pickle


@dataclass(frozen=True)
class Found:
    """A model on disk: its name, its folder or file, and whether it came with sovgen."""

    name: str
    path: Path
    bundled: bool = False

    @property
    def is_file(self) -> bool:
        """A single safetensors file, not a diffusers folder."""
        return self.path.is_file()


def models_folder() -> Path:
    """Where a person's own models lie, one folder or file each."""
    from platformdirs import user_data_path

    return user_data_path("sovgen", appauthor=False) / "models"


def find_model(source: str | Path | None = None, folders: Sequence[Path] = ()) -> Found:
    """The model of that name or at that path; None is the bundled one.

    A name is looked for among the bundled model, `models_folder()` and `folders`, then as a path.
    Raises ModelMissing with the nearest names, UnsafeWeights for a pickle, and ModelUnsupported
    for a path that holds no model.
    """
    if source is None:
        return Found(BUNDLED, bundled_model(), bundled=True)
    if not isinstance(source, Path) and os.sep not in source:
        for found in _models(folders):
            if found.name == source:
                return found
    path = Path(source).expanduser()
    if path.exists():
        return _at(Path(os.path.abspath(path)))
    raise _missing(str(source), folders)


def list_models(folders: Sequence[Path] = ()) -> list[Found]:
    """Every model that has a name, the bundled one first; the first of two of one name."""
    by_name: dict[str, Found] = {}
    for found in _models(folders):
        by_name.setdefault(found.name, found)
    return list(by_name.values())


def _models(folders: Sequence[Path]) -> Iterator[Found]:
    yield find_model()
    for folder in (models_folder(), *folders):
        for path in sorted(folder.glob("*")):
            # What is still being fetched begins with a dot.
            if path.name.startswith("."):
                continue
            if is_folder(path):
                yield Found(path.name, path)
            elif path.suffix == SAFE and path.is_file():
                yield Found(path.stem, path)


def _at(path: Path) -> Found:
    if path == bundled_model():
        return find_model()
    if is_folder(path):
        return Found(path.name, path)
    if path.is_file():
        refuse_pickle(path)
        if path.suffix.lower() == SAFE:
            return Found(path.stem, path)
    raise ModelUnsupported(
        f"{path.name} is no model: neither a diffusers folder nor a {SAFE} file.",
        "A diffusers folder is one that holds model_index.json.",
    )


def _missing(source: str, folders: Sequence[Path]) -> ModelMissing:
    names = [found.name for found in list_models(folders)]
    near = difflib.get_close_matches(source, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelMissing(
        f"There is no model {source!r}.",
        f"{hint}Known: {', '.join(names)}; or give the path of a diffusers folder or of a {SAFE} "
        "file.",
    )
