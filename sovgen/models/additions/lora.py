"""LoRA: low-rank layers beside those of the denoiser and the text towers.

    W x  becomes  W x + weight * (alpha / r) B A x,   A (r, in), B (out, r)

Every layer is compared with the model's and then added by PEFT. Source: Hu et al. 2021,
arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelUnsupported
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.families import refuse_other_family
from sovgen.models.additions.lora_file import Layer, read_layers
from sovgen.models.towers import TOWERS

if TYPE_CHECKING:
    from torch import nn

    from sovgen.models.model import Model

    Layers = Mapping[str, Mapping[str, "Layer"]]

_CROSS = re.compile(r"attn2\.to_[kv]$")


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
    from diffusers.utils.peft_utils import recurse_remove_peft_layers

    if hasattr(model.pipe, "unload_lora_weights"):
        model.pipe.unload_lora_weights()
    for module in _parts(model):
        recurse_remove_peft_layers(module)
        if hasattr(module, "peft_config"):
            del module.peft_config


def _read(model: Model, lora: Addition) -> Layers:
    """The layers by part and module, each checked against the model's."""
    layers = read_layers(model, lora)
    _refuse_family(model, lora, layers.get("unet", {}))
    known = {part: _modules(model, part) for part in layers}
    _refuse_strangers(model, lora, layers, known)
    for part, found in layers.items():
        for name, layer in found.items():
            _fit(lora, f"{part}.{name}", layer, _base(known[part][name]))
    return layers


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
    # Without numbers of their own at first, which would be drawn for nothing.
    inject_adapter_in_model(config, module, adapter_name=name, low_cpu_mem_usage=True)
    state = {f"{name}.lora_A.weight": layer.down for name, layer in layers.items()}
    state |= {f"{name}.lora_B.weight": layer.up for name, layer in layers.items()}
    set_peft_model_state_dict(module, state, adapter_name=name, low_cpu_mem_usage=True)
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
