"""Parts: the folders of a model, read to be trained on and written back whole.

    MODEL/unet vae text_encoder tokenizer scheduler      diffusers' and transformers' own
    MODEL/image_encoder                                  the CLIP image tower, in open_clip's names

`MODEL/PART/training.json` counts the samples that a part has seen, so that the count goes on when
training starts afresh from committed weights.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError

from sovgen.errors import BadCheckpoint, first_line
from sovgen.train.room import room_told

# diffusers and transformers leave most of their classes untyped: these names say what is meant
Vae: TypeAlias = Any
Unet: TypeAlias = Any
Scheduler: TypeAlias = Any
Pipeline: TypeAlias = Any


def write_part(model: Path, name: str, write: Callable[[Path], None], samples: int = 0) -> None:
    """Calls `write` with an empty folder that becomes MODEL/NAME when it returns.

    Raises NoRoom when the disk is full; the part that stood before stands then.
    """
    partial, target = model / f".{name}.partial", model / name
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with room_told(f"No room for {name} in {model}.", "The one before stands."):
            partial.mkdir(parents=True)
            write(partial)
            (partial / "training.json").write_text(json.dumps({"samples": samples}) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def samples_seen(model: Path | None, name: str) -> int:
    """How many samples that part of a model has been trained on; 0 when it does not say."""
    path = model / name / "training.json" if model else None
    return int(json.loads(path.read_text())["samples"]) if path and path.exists() else 0


def part_of(model: Path, name: str) -> Path:
    """MODEL/NAME. Raises BadCheckpoint when the model has no such part."""
    if not (model / name).is_dir():
        raise BadCheckpoint(f"{model} has no {name}.", "Give a model folder that holds this part.")
    return model / name


def read_part(model: Path, name: str, kind: Any, **given: Any) -> Any:  # noqa: ANN401
    """MODEL/NAME read by a class of diffusers or transformers. Raises BadCheckpoint."""
    folder = part_of(model, name)
    try:
        return kind.from_pretrained(folder, **given)
    except (OSError, ValueError, RuntimeError, NotImplementedError, SafetensorError) as error:
        said = first_line(error)
        raise BadCheckpoint(
            f"{folder} cannot be read as {kind.__name__}: {said}",
            "Its weights are torn or missing, or it is of another architecture.",
        ) from error


def class_of(model: Path, name: str) -> str:
    """The class that MODEL/NAME says it is of. Raises BadCheckpoint."""
    path = part_of(model, name) / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{path} does not say what it is.", "Get the model again.") from error
