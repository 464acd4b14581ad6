"""LoRA: low-rank layers beside those of the denoiser and the text towers.

    W x  becomes  W x + weight * (alpha / r) B A x,   A (r, in), B (out, r)

Reads kohya's keys (`lora_unet_...lora_down`, those of SDXL's original blocks too) by diffusers'
converter, PEFT's and diffusers' own (`unet....lora_A`, `unet....lora.down`) as they are, and adds
the layers by PEFT. Source: Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelDamaged, ModelUnsupported
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.families import refuse_other_family
from sovgen.models.towers import TOWERS
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sovgen.models.model import Model

    Layers = Mapping[str, Mapping[str, "Layer"]]

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
_CROSS = re.compile(r"attn2\.to_[kv]$")


@dataclass
class Layer:
    """Two matrices, or kernels of a convolution; `up` is already multiplied by alpha / r."""

    down: Tensor
    up: Tensor


def check_lora(model: Model, lora: Addition) -> None:
    """Raise ModelUnsupported or ModelDamaged unless every layer of it fits one of the model."""
    _read(model, lora)


def add_loras(model: Model, loras: Sequence[Addition]) -> None:
    """Put them beside the model's layers, silent until `weigh` is called."""
    from diffusers.utils.peft_utils import set_weights_and_activate_adapters

    for lora in loras:
        for part, layers in _read(model, lora).items():
            _inject(getattr(model.pipe, part), layers, _name(lora))
    for module in _parts(model):
        set_weights_and_activate_adapters(module, [], [])


def weigh_loras(model: Model, loras: Sequence[tuple[Addition, float]]) -> None:
    """Let them act, each with its weight."""
    from diffusers.utils.peft_utils import set_weights_and_activate_adapters

    for module in _parts(model):
        held = getattr(module, "peft_config", {})
        acting = [(_name(lora), weight) for lora, weight in loras if _name(lora) in held]
        set_weights_and_activate_adapters(module, [n for n, _ in acting], [w for _, w in acting])


def remove_loras(model: Model) -> None:
    """Take every LoRA off: the layers are the model's own again, to the bit."""
    model.pipe.unload_lora_weights()
    for module in _parts(model):
        if hasattr(module, "peft_config"):
            del module.peft_config


def _read(model: Model, lora: Addition) -> Layers:
    """The layers by part and module, each checked against the model's."""
    if not hasattr(model.pipe, "lora_state_dict"):
        raise ModelUnsupported(
            f"diffusers adds no LoRA to a {model.family} model.", f"Leave {lora.name} out."
        )
    _refuse_others(model, lora)
    layers = _converted(model, lora)
    _refuse_family(model, lora, layers.get("unet", {}))
    known = {part: _modules(model, part) for part in layers}
    _refuse_strangers(model, lora, layers, known)
    for part, found in layers.items():
        for name, layer in found.items():
            _fit(lora, f"{part}.{name}", layer, _base(known[part][name]))
    return layers


def _refuse_others(model: Model, lora: Addition) -> None:
    others = _OTHERS | (_OF_TRANSFORMERS if model.kind.denoiser == "unet" else {})
    for name in read_header(lora.files[0]).tensors:
        for piece, what in others.items():
            if piece in name:
                raise ModelUnsupported(
                    f"{lora.name} is {what}, which cannot be added to {model.name}.",
                    f"Choose a plain LoRA made for {model.family}.",
                )


def _converted(model: Model, lora: Addition) -> dict[str, dict[str, Layer]]:
    """Every pair of halves by part and module name."""
    from safetensors.torch import load_file

    denoiser = model.kind.denoiser
    try:
        given = model.pipe.lora_state_dict(
            load_file(lora.files[0]), unet_config=model.denoiser.config, return_alphas=True
        )
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
    told = _told(lora)
    layers: dict[str, dict[str, Layer]] = {}
    for (part, name), pair in halves.items():
        own = _own_name(getattr(model.pipe, part, None), name)
        rank = _rank(lora, name, pair)
        alpha = scaled.get((part, name), _told_alpha(told, part, name, rank))
        layers.setdefault(part, {})[own] = Layer(pair["down"], pair["up"].float() * (alpha / rank))
    return layers


def _told(lora: Addition) -> Mapping[str, Any]:
    """PEFT's configuration, each of its words after the part that it is for."""
    try:
        told = json.loads(read_header(lora.files[0]).metadata.get(_TOLD, "{}"))
    except ValueError as error:
        raise ModelDamaged(f"What {lora.name} says of itself is no JSON: {error}.") from error
    return told if isinstance(told, dict) else {}


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


def _refuse_family(model: Model, lora: Addition, layers: Mapping[str, Layer]) -> None:
    for name, layer in layers.items():
        if _CROSS.search(name):
            refuse_other_family("a LoRA", lora.name, layer.down.shape[1], model)
            return


def _refuse_strangers(
    model: Model, lora: Addition, layers: Layers, known: Mapping[str, dict[str, nn.Module]]
) -> None:
    strange = [f"{p}.{n}" for p, found in layers.items() for n in found if n not in known[p]]
    if strange:
        total = sum(map(len, layers.values()))
        raise ModelUnsupported(
            f"{len(strange)} of the {total} layers of {lora.name} are not in {model.name}, such as "
            f"{strange[0]}.",
            f"It was made for another model: choose a LoRA for {model.family}.",
        )


def _fit(lora: Addition, name: str, layer: Layer, module: nn.Module) -> None:
    """Give both halves the dimensions of the module's; raise ModelUnsupported on other widths."""
    weight = getattr(module, "weight", None)
    shape = tuple(weight.shape) if weight is not None else ()
    rank = layer.down.shape[0]
    inner, outer = (rank, *shape[1:]), (*shape[:1], rank, *(1 for _ in shape[2:]))
    for half, wanted in (("down", inner), ("up", outer)):
        tensor = getattr(layer, half)
        if tensor.shape[:2] != wanted[:2] or tensor.numel() != _count(wanted):
            raise ModelUnsupported(
                f"{lora.name} has {tuple(tensor.shape)} where {name} needs {wanted}.",
                "It was made for a model of other widths.",
            )
        setattr(layer, half, tensor.reshape(wanted))


def _count(shape: Sequence[int]) -> int:
    from math import prod

    return prod(shape)


def _inject(module: Any, layers: Mapping[str, Layer], name: str) -> None:  # noqa: ANN401
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    ranks = {name: layer.down.shape[0] for name, layer in layers.items()}
    most = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != most}
    config = LoraConfig(
        r=most,
        lora_alpha=most,
        rank_pattern=others,
        alpha_pattern=others,
        target_modules="|".join(map(re.escape, layers)),
    )
    inject_adapter_in_model(config, module, adapter_name=name)
    state = {f"{name}.lora_A.weight": layer.down for name, layer in layers.items()}
    state |= {f"{name}.lora_B.weight": layer.up for name, layer in layers.items()}
    set_peft_model_state_dict(module, state, adapter_name=name)
    module.to(device=module.device, dtype=module.dtype)
    module.requires_grad_(False)


def _name(lora: Addition) -> str:
    """PEFT makes it an attribute's name: a file's own may hold dots."""
    return f"lora_{lora.hash}"


def _parts(model: Model) -> list[Any]:
    parts = [getattr(model.pipe, name, None) for name in (model.kind.denoiser, *TOWERS)]
    return [part for part in parts if part is not None]


def _modules(model: Model, part: str) -> dict[str, nn.Module]:
    module = getattr(model.pipe, part, None)
    return dict(module.named_modules()) if module is not None else {}


def _base(module: nn.Module) -> nn.Module:
    """The model's own layer, beneath any LoRA that is there already."""
    return getattr(module, "base_layer", module)
