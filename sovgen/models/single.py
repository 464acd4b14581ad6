"""A single safetensors file in the original key layout of SD 1.x, SD 2.x or SDXL.

The family and the shape of every part are worked out from the tensors, never from the file's name;
what shapes cannot tell is in `families/*.json`. Only the header is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

from sovgen.errors import ModelDamaged, ModelUnsupported
from sovgen.models import shapes
from sovgen.models.families import SD, SDXL
from sovgen.models.layout import Layout, refuse_other_tasks
from sovgen.models.shapes import Shapes
from sovgen.models.weights import Header, Weights, precision, read_header

UNET, VAE = "model.diffusion_model.", "first_stage_model."
_SD1_TOWER = "cond_stage_model.transformer."
_SD2_TOWER = "cond_stage_model.model."
_XL_TOWER, _XL_TOWER_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
_REFINER_TOWER = "conditioner.embedders.0.model."
_PREFIXES = {
    "sd1": {"text_encoder": _SD1_TOWER},
    "sd2": {"text_encoder": _SD2_TOWER},
    "sdxl": {"text_encoder": _XL_TOWER, "text_encoder_2": _XL_TOWER_2},
}
_CLASSES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
    "tokenizer": "CLIPTokenizer",
    "tokenizer_2": "CLIPTokenizer",
}
# What else comes as one file, by a piece of its tensors' names.
_OTHERS = {
    "lora_": "a LoRA, which changes a model and is none itself",
    ".lora_A.": "a LoRA, which changes a model and is none itself",
    "control_model.": "a ControlNet, which steers a model and is none itself",
    "joint_blocks.": "a Stable Diffusion 3 model",
    "double_blocks.": "a FLUX model",
    "emb_params": "a textual inversion, which adds a word to a model and is none itself",
    _REFINER_TOWER: "an SDXL refiner: it finishes pictures, it cannot begin one",
    "down_blocks.": "one part of a diffusers folder; give the folder",
    "text_model.": "a text tower alone; give the folder that it lies in",
}


def read_file(path: Path) -> Layout:
    """Read and judge a single file.

    Raises UnsafeWeights for a pickle, ModelDamaged for a file that is truncated or lacks tensors,
    and ModelUnsupported for one that is no text-to-image model of the three families.
    """
    header = read_header(path)
    family = _family(path, header)
    base = json.loads(_families().joinpath(f"{family}.json").read_text(encoding="utf-8"))
    prefixes = {"unet": UNET, "vae": VAE, **_PREFIXES[family]}
    found = {part: _under(header, prefix) for part, prefix in prefixes.items()}
    configs = _configs(path, base, found, header)
    kind = SDXL if base["pipeline"] == SDXL.pipeline else SD
    refuse_other_tasks(path.name, kind, configs)
    return Layout(
        path=path,
        kind=kind,
        parts={**{part: _CLASSES[part] for part in configs if part in _CLASSES}, **_own(base)},
        configs=configs,
        weights={"": Weights((path,))},
        numbers={part: sum(map(prod, tensors.values())) for part, tensors in found.items()},
        precision=precision([header]),
    )


def predicts(header: Header) -> str | None:
    """`v_prediction` or `epsilon`, where the file says it; None where only drawing can tell.

    By the key `modelspec.prediction_type` of the ModelSpec standard, or the empty tensor `v_pred`
    that fine-tuned SDXL models carry.
    """
    said = header.metadata.get("modelspec.prediction_type", "")
    if said:
        return "v_prediction" if said.startswith("v") else "epsilon"
    return "v_prediction" if "v_pred" in header.tensors else None


def _family(path: Path, header: Header) -> str:
    names = header.tensors
    if any(name.startswith(UNET) for name in names):
        for family, towers in _PREFIXES.items():
            if all(any(n.startswith(prefix) for n in names) for prefix in towers.values()):
                return family
    for piece, what in _OTHERS.items():
        if any(piece in name for name in names):
            raise ModelUnsupported(f"{path.name} is {what}.", _HINT)
    raise ModelUnsupported(
        f"{path.name} is no Stable Diffusion 1.x, 2.x or XL model with its text towers.", _HINT
    )


_HINT = "sovgen draws with whole SD 1.x, SD 2.x and SDXL files and with diffusers folders."


def _configs(
    path: Path, base: Mapping[str, Any], found: Mapping[str, Shapes], header: Header
) -> dict[str, dict[str, Any]]:
    readers: dict[str, Callable[[Shapes], dict[str, Any]]] = {
        "unet": shapes.denoiser,
        "vae": shapes.autoencoder,
        "text_encoder": shapes.clip_tower,
        "text_encoder_2": lambda tensors: shapes.open_clip_tower(tensors, whole=True),
    }
    if "token_embedding.weight" in found["text_encoder"]:
        readers["text_encoder"] = lambda tensors: shapes.open_clip_tower(tensors, whole=False)
    try:
        read = {part: readers[part](tensors) for part, tensors in found.items()}
    except (KeyError, IndexError, ValueError) as error:
        raise ModelDamaged(
            f"{path.name} lacks tensors that its family has: {error}.",
            "Get the whole model: text towers, denoiser and autoencoder in one file.",
        ) from error
    configs = {part: {**base[part], **config} for part, config in read.items()}
    configs |= {part: dict(base[part]) for part in base if part.startswith("tokenizer")}
    configs["scheduler"] = _scheduler(base, header)
    configs["unet"]["sample_size"] = _size(base, header) // 2 ** (
        len(configs["vae"]["block_out_channels"]) - 1
    )
    return configs


def _scheduler(base: Mapping[str, Any], header: Header) -> dict[str, Any]:
    scheduler = dict(base["scheduler"])
    if said := predicts(header):
        scheduler["prediction_type"] = said
    if "ztsnr" in header.tensors:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return scheduler


def _size(base: Mapping[str, Any], header: Header) -> int:
    """The side in pixels that the model was trained at, as ModelSpec says it or as is usual."""
    side, _, _ = header.metadata.get("modelspec.resolution", "").partition("x")
    return int(side) if side.isdecimal() else int(base["size"])


def _own(base: Mapping[str, Any]) -> dict[str, str]:
    return {"scheduler": str(base["scheduler"]["_class_name"])}


def _under(header: Header, prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        name[len(prefix) :]: tensor.shape
        for name, tensor in header.tensors.items()
        if name.startswith(prefix)
    }


def _families() -> Any:  # noqa: ANN401 - importlib's Traversable is not public in 3.11
    return files("sovgen.models").joinpath("families")
