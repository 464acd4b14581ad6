"""A single safetensors file in the original key layout of SD 1.x, 2.x, XL, 3.x or FLUX.1.

The family and the shape of every part are worked out from the tensors, never from the file's name;
what shapes cannot tell is in `families/*.json`. Only the header is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

from sovgen.errors import ModelDamaged, ModelUnsupported
from sovgen.models.families import FLUX, SD3
from sovgen.models.layout import Layout, refuse_other_tasks
from sovgen.models.originals import ORIGINALS, UNET, Original
from sovgen.models.scaled import plain_header
from sovgen.models.shapes import Shapes
from sovgen.models.transformer_shapes import t5_tower
from sovgen.models.vocabulary import find_t5_vocabulary
from sovgen.models.weights import Header, Weights, precision, read_header

_CLASSES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "tokenizer": "CLIPTokenizer",
    "tokenizer_2": "CLIPTokenizer",
}
_TRANSFORMERS = {"sd3": "SD3Transformer2DModel", "flux": "FluxTransformer2DModel"}
# What else comes as one file, by a piece of its tensors' names.
_OTHERS = {
    "lora_": "a LoRA, which changes a model and is none itself",
    ".lora_A.": "a LoRA, which changes a model and is none itself",
    "control_model.": "a ControlNet, which steers a model and is none itself",
    "joint_blocks.": "a Stable Diffusion 3 model that lacks one of its text towers",
    "double_blocks.": "a FLUX.1 model that lacks one of its text towers",
    "inverted_conv.": "a Sana denoiser: its Gemma and its autoencoder are not in the file",
    "cross_attn.kv_linear.": "a PixArt denoiser: its T5 and its autoencoder are not in the file",
    "emb_params": "a textual inversion, which adds a word to a model and is none itself",
    "down_blocks.": "one part of a diffusers folder; give the folder",
    "transformer_blocks.": "one part of a diffusers folder; give the folder",
    "text_model.": "a text tower alone; give the folder that it lies in",
}

# Weights that mean something only together with others, by a piece of those others' names.
_PACKED = {
    ".quant_state.": "4-bit numbers of bitsandbytes",
    ".qweight": "4-bit numbers",
}


def read_file(path: Path) -> Layout:
    """Read and judge a single file.

    Raises UnsafeWeights for a pickle, ModelDamaged for a file that is truncated or lacks tensors,
    and ModelUnsupported for one that is no whole text-to-image model of its families.
    """
    header = unpacked(path, read_header(path))
    original = _original(path, header)
    base, found = base_of(original), _parts(path, original, header)
    configs = _configs(path, original, base, found, header)
    refuse_other_tasks(path.name, original.kind, configs)
    return Layout(
        path=path,
        kind=original.kind,
        parts={name: _class_of(original, base, name) for name in configs},
        configs=configs,
        weights={"": Weights((path,))},
        numbers={part: _numbers(original, part, tensors) for part, tensors in found.items()},
        precision=precision([header]),
    )


def unpacked(path: Path, header: Header) -> Header:
    """The header without the scales of scaled float8.

    Raises ModelUnsupported for weights that are packed otherwise.
    """
    for piece, how in _PACKED.items():
        if any(piece in name for name in header.tensors):
            raise ModelUnsupported(
                f"{path.name} holds its weights packed as {how}, which sovgen does not unpack.",
                "Get the same model in float8, bfloat16 or float16.",
            )
    return plain_header(path, header)


def predicts(header: Header) -> str | None:
    """`v_prediction` or `epsilon`, where the file says it; None where only drawing can tell.

    By the key `modelspec.prediction_type` of the ModelSpec standard, or the empty tensor `v_pred`
    that fine-tuned SDXL models carry.
    """
    said = header.metadata.get("modelspec.prediction_type", "")
    if said:
        return "v_prediction" if said.startswith("v") else "epsilon"
    return "v_prediction" if "v_pred" in header.tensors else None


def _original(path: Path, header: Header) -> Original:
    names = header.tensors
    for original in ORIGINALS:
        begins = UNET + original.tells
        towers = [name for name in original.kind.towers if name in original.prefixes]
        needed = [original.prefixes[name] for name in towers if name not in original.spare]
        if all(any_begins(names, prefixes) for prefixes in ((begins,), *needed)):
            return original
    for piece, what in _OTHERS.items():
        if any(piece in name for name in names):
            raise ModelUnsupported(f"{path.name} is {what}.", _HINT)
    raise ModelUnsupported(
        f"{path.name} is no Stable Diffusion or FLUX.1 model with its text towers.", _HINT
    )


_HINT = (
    "sovgen draws with whole files of SD 1.x, 2.x, XL, 3.x and FLUX.1, and with diffusers folders."
)


def base_of(original: Original) -> dict[str, Any]:
    """What shapes cannot tell of a family's parts."""
    file = files("sovgen.models").joinpath("families", f"{original.configs}.json")
    base: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return base


def any_begins(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)


def _parts(path: Path, original: Original, header: Header) -> dict[str, Shapes]:
    """The tensors of each part that is there; a T5 counts only where its vocabulary is."""
    begins = {
        part: next(p for p in prefixes if _has(header, p, prefixes))
        for part, prefixes in original.prefixes.items()
    }
    read: dict[str, Shapes] = {part: _under(header, prefix) for part, prefix in begins.items()}
    found = {
        part: tensors for part, tensors in read.items() if tensors or part not in original.spare
    }
    t5 = [part for part in found if original.readers[part] is t5_tower]
    if t5 and find_t5_vocabulary(path) is None:
        if not original.spare.issuperset(t5):
            raise ModelUnsupported(
                f"{path.name} holds a T5 without its vocabulary, and no model here lends one.",
                "Put the folder tokenizer_2 of a FLUX.1 or tokenizer_3 of an SD 3 diffusers folder "
                "beside the file, or use the diffusers folder.",
            )
        found = {part: tensors for part, tensors in found.items() if part not in t5}
    return found


def _has(header: Header, prefix: str, prefixes: tuple[str, ...]) -> bool:
    return prefix == prefixes[-1] or any_begins(header.tensors, (prefix,))


def _numbers(original: Original, part: str, tensors: Shapes) -> int:
    """How many numbers the part has; SD 3's smaller CLIP is completed by an identity."""
    stored = sum(map(prod, tensors.values()))
    if original.kind is SD3 and part == "text_encoder" and "text_projection.weight" not in tensors:
        stored += int(tensors["text_model.embeddings.token_embedding.weight"][1]) ** 2
    return stored


def _class_of(original: Original, base: Mapping[str, Any], part: str) -> str:
    if part == "scheduler":
        return str(base["scheduler"]["_class_name"])
    if part == "transformer":
        return _TRANSFORMERS[original.configs]
    if part in original.readers and original.readers[part] is t5_tower:
        return "T5EncoderModel"
    if part.startswith("text_encoder"):
        plain = part == "text_encoder" and original.kind is not SD3
        return "CLIPTextModel" if plain else "CLIPTextModelWithProjection"
    tower = part.replace("tokenizer", "text_encoder")
    return "T5Tokenizer" if original.readers.get(tower) is t5_tower else _CLASSES[part]


def _configs(
    path: Path,
    original: Original,
    base: Mapping[str, Any],
    found: Mapping[str, Shapes],
    header: Header,
) -> dict[str, dict[str, Any]]:
    try:
        read = {part: original.readers[part](tensors) for part, tensors in found.items()}
    except (KeyError, IndexError, ValueError) as error:
        raise ModelDamaged(
            f"{path.name} lacks tensors that its family has: {error}.",
            "Get the whole model: text towers, denoiser and autoencoder in one file.",
        ) from error
    configs = {part: {**base[part], **config} for part, config in read.items()}
    towers = [name for name in original.kind.towers if name in found]
    for name in (tower.replace("text_encoder", "tokenizer") for tower in towers):
        configs[name] = dict(base[name])
    configs["scheduler"] = scheduler_of(base, header, configs)
    cells = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    if original.kind is not FLUX:
        configs[original.kind.denoiser]["sample_size"] = side_of(base, header) // cells
    return configs


def scheduler_of(
    base: Mapping[str, Any], header: Header, configs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    scheduler = dict(base["scheduler"])
    if "FlowMatch" in scheduler["_class_name"]:
        if configs["transformer"].get("guidance_embeds"):
            scheduler |= {"use_dynamic_shifting": True, "shift": 3.0}
        return scheduler
    if said := predicts(header):
        scheduler["prediction_type"] = said
    if "ztsnr" in header.tensors:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return scheduler


def side_of(base: Mapping[str, Any], header: Header) -> int:
    """The side in pixels that the model was trained at, as ModelSpec says it or as is usual."""
    side, _, _ = header.metadata.get("modelspec.resolution", "").partition("x")
    return int(side) if side.isdecimal() else int(base["size"])


def _under(header: Header, prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        name[len(prefix) :]: tensor.shape
        for name, tensor in header.tensors.items()
        if name.startswith(prefix)
    }
