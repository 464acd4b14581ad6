"""Upscalers: models that enlarge a picture, as diffusers folders of two kinds.

Stable Diffusion's x4 upscaler and its latent x2 upscaler. Judged from text before anything is
loaded: no pickles, no foreign code. Knows nothing of recipes or tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported, first_line
from sovgen.models.folder import INDEX, read_json
from sovgen.models.identity import refuse_changed
from sovgen.models.quiet import libraries_held_back
from sovgen.models.store import Found, find_model
from sovgen.models.weights import find_weights, read_header

if TYPE_CHECKING:
    from sovgen.models.model import Model

# diffusers' class, how many times it enlarges, and what the sides it takes are multiples of.
_KINDS = {"StableDiffusionUpscalePipeline": (4, 8), "StableDiffusionLatentUpscalePipeline": (2, 64)}
_WEIGHTED = ("unet", "vae", "text_encoder")
_UNUSED = ("safety_checker", "feature_extractor", "watermarker")


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A loaded upscaler.

    pipe: the diffusers pipeline, on its device
    factor: how many times as large its pictures are; grain: its input's sides are multiples of it
    """

    pipe: Any
    name: str
    factor: int
    grain: int


def upscaler_of(model: Model, source: str) -> Upscaler:
    """The upscaler of that name or at that path, beside the model and kept with it.

    Raises ModelMissing, UnsafeWeights, ModelDamaged, or ModelUnsupported when it is none.
    """
    if source not in model.upscalers:
        loaded = _load(find_model(source, model.folders), model.device, dtype_beside(model))
        model.upscalers[source] = model.upscalers[loaded.name] = loaded
    return model.upscalers[source]


def dtype_beside(model: Model) -> str:
    """In which an upscaler computes beside the model."""
    # On a CPU its 16-bit sums would cost more than they save.
    return "float32" if model.device == "cpu" else model.dtype


def weights_of(path: Path) -> tuple[Path, ...]:
    """The weight files of an upscaler's folder.

    Raises UnsafeWeights, ModelDamaged, or ModelUnsupported when it is none.
    """
    _judged(path)
    return tuple(file for name in _WEIGHTED for file in find_weights(path / name).files)


def described(path: Path) -> dict[str, object]:
    """What it enlarges, and how many times; raises as `weights_of` does."""
    cls = _judged(path)
    factor, grain = _KINDS[cls]
    return {"pipeline": cls, "factor": factor, "grain": grain}


def _load(found: Found, device: str, dtype: str) -> Upscaler:
    cls = _judged(found.path)
    refuse_changed(found.path)
    import diffusers
    import torch

    with libraries_held_back():
        try:
            pipe = getattr(diffusers, cls).from_pretrained(
                str(found.path),
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                local_files_only=True,
                **dict.fromkeys(_UNUSED if cls == "StableDiffusionUpscalePipeline" else ()),
            )
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            first = first_line(error)
            raise ModelDamaged(
                f"{found.name} cannot be loaded: {first}", "Get the whole folder again."
            ) from error
    pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return Upscaler(pipe, found.name, *_KINDS[cls])


def _judged(path: Path) -> str:
    """The class of the pipeline in the folder; raises what makes it unfit."""
    index = read_json(path / INDEX) if path.is_dir() else {}
    cls = index.get("_class_name")
    if not isinstance(cls, str) or cls not in _KINDS:
        raise ModelUnsupported(
            f"{path.name} is no upscaler that sovgen can drive.",
            f"It enlarges with folders of {' and '.join(_KINDS)}.",
        )
    parts = {name: pair for name, pair in index.items() if isinstance(pair, list) and pair[0]}
    for name, (library, part) in parts.items():
        if name not in _UNUSED and library not in ("diffusers", "transformers"):
            raise ModelUnsupported(
                f"{path.name} brings its own code ({library}.{part}), which sovgen never runs.",
                "Use a model that diffusers itself can load.",
            )
    for name in _WEIGHTED:
        for file in find_weights(path / name).files:
            read_header(file)
    return cls
