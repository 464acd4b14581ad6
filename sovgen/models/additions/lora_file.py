"""A LoRA's file: its keys, whatever their style, become layers by part and module.

Reads kohya's keys (`lora_unet_...lora_down`, those of SDXL's original blocks too) by diffusers'
converter, PEFT's and diffusers' own (`unet....lora_A`, `unet....lora.down`) as they are. Knows
nothing of whether they fit the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.kinds import PEFT_FILE
from sovgen.models.towers import TOWERS
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

# What else goes by the name of LoRA, by a piece of its keys.
_OTHERS = {
    ".hada_": "a LoHa of LyCORIS",
    ".lokr_": "a LoKr of LyCORIS",
    ".lora_mid.": "a LoCon with Tucker decomposition",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "lora_controlnet": "a Control-LoRA",
}
_OF_TRANSFORMERS = {
    "double_blocks": "a LoRA for FLUX",
    "single_transformer_blocks": "a LoRA for FLUX",
    "joint_blocks": "a LoRA for Stable Diffusion 3",
    "transformer.transformer_blocks": "a LoRA for a model whose denoiser is a transformer",
}
_OF_UNETS = {
    "down_blocks": "a LoRA for Stable Diffusion 1.x, 2.x or XL",
    "input_blocks": "a LoRA for Stable Diffusion XL",
}
# Where diffusers writes what PEFT was told: alpha, for one, and whether it is over the root of r.
_TOLD = "lora_adapter_metadata"
_PEFT = "base_model.model."
# Older names of the attention's layers, in the denoiser and in the text towers.
_RENAMED = (
    (re.compile(r"\.processor\.(to_[qkv])_lora$"), r".\1"),
    (re.compile(r"\.processor\.to_out_lora$"), ".to_out.0"),
    (re.compile(r"\.self_attn\.to_([qkv])_lora$"), r".self_attn.\1_proj"),
    (re.compile(r"\.self_attn\.to_out_lora$"), ".self_attn.out_proj"),
)
_HALF = re.compile(
    r"(?:\.lora_linear_layer|\.lora)?\.(lora_A|lora_B|down|up)(?:\.default)?\.weight$"
)
_DOWN = ("lora_A", "down")
# How kohya's names of a denoiser's layers begin, the longer ones first.
_FLAT = ("lora_transformer_", "lora_unet_")


@dataclass
class Layer:
    """Two matrices, or kernels of a convolution; `up` is already multiplied by alpha / r."""

    down: Tensor
    up: Tensor


def _refuse_others(model: Model, lora: Addition) -> None:
    others = _OTHERS | (_OF_TRANSFORMERS if model.kind.denoiser == "unet" else _OF_UNETS)
    for name in read_header(lora.files[0]).tensors:
        for piece, what in others.items():
            if piece in name:
                raise ModelUnsupported(
                    f"{lora.name} is {what}, which cannot be added to {model.name}.",
                    f"Choose a plain LoRA made for {model.family}.",
                )


def read_layers(model: Model, lora: Addition) -> dict[str, dict[str, Layer]]:
    """Every pair of halves by part and module name.

    Raises ModelUnsupported for what is no plain LoRA, ModelDamaged for one that lacks halves.
    """
    _refuse_others(model, lora)
    from safetensors.torch import load_file

    denoiser = model.kind.denoiser
    try:
        given = _converted(model, load_file(lora.files[0]))
    except KeyError as error:
        raise ModelDamaged(f"{lora.name} lacks {error}.", "Get the file again.") from error
    except (ValueError, IndexError, RuntimeError) as error:
        raise ModelUnsupported(
            f"The keys of {lora.name} are not those of a LoRA for {model.family}: {error}.",
            "Use a LoRA with kohya's or PEFT's keys.",
        ) from error
    # The families differ in whether they give alphas.
    state, alphas = given if isinstance(given, tuple) else (given, None)
    halves: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in state.items():
        place, half = _place(lora, key, denoiser)
        halves.setdefault(place, {})[half] = tensor
    scaled = {_place(lora, _as_half(k), denoiser)[0]: float(a) for k, a in (alphas or {}).items()}
    told = _told(lora, denoiser)
    layers: dict[str, dict[str, Layer]] = {}
    for (part, name), pair in halves.items():
        own = _own_name(getattr(model.pipe, part, None), name)
        rank = _rank(lora, name, pair)
        alpha = scaled.get((part, name), _told_alpha(told, part, name, rank))
        layers.setdefault(part, {})[own] = Layer(pair["down"], pair["up"].float() * (alpha / rank))
    return layers


def _converted(model: Model, stored: dict[str, Tensor]) -> Any:  # noqa: ANN401
    """Under PEFT's names, and the alphas that are stored; by diffusers where it can."""
    if hasattr(model.pipe, "lora_state_dict"):
        config = model.denoiser.config
        return model.pipe.lora_state_dict(stored, unet_config=config, return_alphas=True)
    flat = {name.replace(".", "_"): name for name, _ in model.denoiser.named_modules()}
    named = {_unflattened(name, flat): tensor for name, tensor in stored.items()}
    alphas = {name: tensor for name, tensor in named.items() if name.endswith(".alpha")}
    return {name: tensor for name, tensor in named.items() if name not in alphas}, alphas


def _unflattened(key: str, flat: Mapping[str, str]) -> str:
    """kohya's `lora_transformer_blocks_0_attn1_to_q.lora_down.weight` with dots again."""
    module, dot, rest = key.partition(".")
    for prefix in _FLAT:
        if module.startswith(prefix) and (name := flat.get(module.removeprefix(prefix))):
            return f"{name}{dot}{rest.replace('lora_', 'lora.')}"
    return key


def _told(lora: Addition, denoiser: str) -> Mapping[str, Any]:
    """PEFT's configuration, each of its words after the part that it is for."""
    path = lora.files[0]
    try:
        if path.name == PEFT_FILE:
            beside = path.with_name("adapter_config.json").read_text(encoding="utf-8")
            return {f"{denoiser}.{word}": value for word, value in json.loads(beside).items()}
        return dict(json.loads(read_header(path).metadata.get(_TOLD, "{}")))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelDamaged(f"What {lora.name} says of itself cannot be read: {error}.") from error


def _told_alpha(told: Mapping[str, Any], part: str, name: str, rank: int) -> float:
    """The layer's alpha; its rank, where nothing is said, which is a scale of 1."""
    alphas = told.get(f"{part}.alpha_pattern") or {}
    alpha = float(alphas.get(name, told.get(f"{part}.lora_alpha", rank)))
    return alpha * rank**0.5 if told.get(f"{part}.use_rslora") else alpha


def _own_name(part: object, name: str) -> str:
    """transformers 5 has flattened one of its two kinds of text tower."""
    return name if hasattr(part, "text_model") else name.removeprefix("text_model.")


def _as_half(key: str) -> str:
    """diffusers names an alpha after its layer, or after one half of it."""
    key = key.removesuffix(".alpha")
    return key if key.endswith(".weight") else f"{key}.down.weight"


def _place(lora: Addition, key: str, denoiser: str) -> tuple[tuple[str, str], str]:
    """The part and module that a key is for, and which half it is."""
    key = key.removeprefix(_PEFT)
    found = _HALF.search(key)
    if not found:
        raise ModelUnsupported(
            f"{lora.name} holds {key}, which is no part of a LoRA.", "Use a plain LoRA."
        )
    name = key[: found.start()]
    if name.partition(".")[0] not in ("unet", "transformer", *TOWERS):
        name = f"{denoiser}.{name}"
    for pattern, written in _RENAMED:
        name = pattern.sub(written, name)
    part, _, module = name.partition(".")
    return (part, module), "down" if found[1] in _DOWN else "up"


def _rank(lora: Addition, name: str, pair: Mapping[str, Tensor]) -> int:
    if len(pair) < 2:
        lost = "up" if "down" in pair else "down"
        raise ModelDamaged(f"{lora.name} lacks the half {lost} of {name}.", "Get the file again.")
    return int(pair["down"].shape[0])
