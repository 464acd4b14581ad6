"""A diffusers folder read as text: its pipeline, its parts, and whether sovgen can drive them.

Reads JSON and safetensors headers; nothing in the folder is executed and nothing heavy is
imported, so a model that cannot be drawn with is refused in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovgen.errors import ModelDamaged, ModelUnsupported
from sovgen.models.families import FAMILIES, SDXL, SDXL_REFINER, family_of
from sovgen.models.family import Family
from sovgen.models.layout import Layout, refuse_other_tasks
from sovgen.models.weights import find_weights, precision, read_header

INDEX = "model_index.json"


def is_folder(path: Path) -> bool:
    """Whether a diffusers pipeline lies there."""
    return (path / INDEX).is_file()


def read_folder(path: Path) -> Layout:
    """Read and judge a diffusers folder.

    Raises ModelUnsupported for a pipeline, a part or code that sovgen cannot drive, UnsafeWeights
    for a part that is only there as a pickle, and ModelDamaged for JSON or weights that cannot be
    read and for parts that are missing.
    """
    index = read_json(path / INDEX)
    kind = _kind(path, index)
    parts = {name: _part(path, kind, name, pair) for name, pair in index.items() if _is_part(pair)}
    kept = {name: cls for name, cls in parts.items() if name in (*kind.parts, "scheduler")}
    _refuse_absence(path, kind, kept)
    configs = {name: read_json(path / name / _config_name(name)) for name in kept}
    refuse_other_tasks(path.name, kind, configs)
    weights = {name: find_weights(path / name) for name in kind.weighted if name in kept}
    headers = {name: [read_header(file) for file in weights[name].files] for name in weights}
    return Layout(
        path=path,
        kind=kind,
        parts=kept,
        configs=configs,
        weights=weights,
        numbers={name: sum(h.numbers for h in part) for name, part in headers.items()},
        precision=precision([header for part in headers.values() for header in part]),
    )


def _kind(path: Path, index: Mapping[str, Any]) -> Family:
    name = index.get("_class_name")
    if isinstance(name, list):
        raise _own_code(path, str(name[-1]))
    kind = family_of(name)
    if kind is None and "Upscale" in str(name):
        raise ModelUnsupported(
            f"{path.name} is a {name}: it enlarges pictures, it draws none from words.",
            "Give it to `sovgen upscale` as --upscaler.",
        )
    if kind is None:
        raise ModelUnsupported(
            f"{path.name} is a {name}, which sovgen cannot drive.",
            f"It draws with {', '.join(family.pipeline for family in FAMILIES)}.",
        )
    return SDXL_REFINER if kind is SDXL and _is_refiner(index) else kind


def _is_refiner(index: Mapping[str, Any]) -> bool:
    """It has the second of the base model's two towers alone."""
    return _is_part(index.get("text_encoder_2")) and not _is_part(index.get("text_encoder"))


def _is_part(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and pair[0] is not None


def _part(path: Path, kind: Family, name: str, pair: list[str]) -> str:
    """The class of a part; one from outside diffusers and transformers would be foreign code."""
    library, cls = map(str, pair)
    optional = name in ("safety_checker", "feature_extractor", "image_encoder")
    if not optional and library not in ("diffusers", "transformers"):
        raise _own_code(path, f"{library}.{cls}")
    if name in kind.parts and cls not in kind.parts[name]:
        raise ModelUnsupported(
            f"The {name} of {path.name} is a {cls}, which sovgen cannot drive.",
            f"It knows {', '.join(sorted(kind.parts[name]))}.",
        )
    return cls


def _own_code(path: Path, what: str) -> ModelUnsupported:
    return ModelUnsupported(
        f"{path.name} brings its own code ({what}), which sovgen never runs.",
        "Use a model that diffusers itself can load.",
    )


def _refuse_absence(path: Path, kind: Family, parts: Mapping[str, str]) -> None:
    needed = [name for name in ("scheduler", *sorted(kind.parts)) if name not in kind.optional]
    absent = [name for name in needed if name not in parts]
    missing = absent + [name for name in parts if not (path / name).is_dir()]
    if missing:
        raise ModelDamaged(
            f"{path.name} lacks its {', '.join(missing)}.",
            "The download stopped half-way, or the part was left out: get the whole folder again.",
        )


def _config_name(part: str) -> str:
    if part == "scheduler":
        return "scheduler_config.json"
    return "tokenizer_config.json" if part.startswith("tokenizer") else "config.json"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder. Raises ModelDamaged."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        name = f"{path.parent.name}/{path.name}"
        raise ModelDamaged(f"{name} cannot be read: {error}.", "Get the folder again.") from error
    if not isinstance(read, dict):
        raise ModelDamaged(f"{path.parent.name}/{path.name} holds no JSON object.")
    return read
