"""One name for each weight of a CLIP, whichever library wrote the file.

The names are open_clip's, with two differences that let formats share memory without copying:
a joined `in_proj` stands as its three parts, and a text tower kept apart under `text.` does not.
Knows names and shapes; knows nothing of files or of what the weights compute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from index.encoder.tensors import Tensor

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, Tensor]

_PARTS = ("q", "k", "v")
_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_VISION = {
    "embeddings.class_embedding": "visual.class_embedding",
    "embeddings.patch_embedding.weight": "visual.conv1.weight",
    "embeddings.position_embedding.weight": "visual.positional_embedding",
    "pre_layrnorm.weight": "visual.ln_pre.weight",
    "pre_layrnorm.bias": "visual.ln_pre.bias",
    "post_layernorm.weight": "visual.ln_post.weight",
    "post_layernorm.bias": "visual.ln_post.bias",
}
_PROJECTIONS = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_TRANSFORMERS_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_PART = re.compile(r"(.+\.in_proj_(?:weight|bias))\.([qkv])")


def from_open_clip(tensors: Tensors) -> dict[str, Tensor]:
    """Tensors under open_clip's names, under ours."""
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        named.update(_apart(name.removeprefix("text."), tensor))
    return named


def from_transformers(tensors: Tensors) -> dict[str, Tensor]:
    """Tensors of a transformers CLIP, or of its text tower alone, under our names.

    Text towers are read with the `text_model.` prefix of transformers 4 and without it, as
    transformers 5 holds them. Names of other models are left out.
    """
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if projection := _PROJECTIONS.get(name):
            named[projection] = tensor.transposed
        elif name in ("logit_scale", "logit_bias"):
            named[name] = tensor
        elif ours := _from_transformers(name):
            named[ours] = tensor
    return named


def to_open_clip(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Tensors under our names, as torch tensors under open_clip's; shares memory where it can."""
    import torch

    from index.encoder.tensors import to_torch

    state: dict[str, torch.Tensor] = {}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if match := _PART.fullmatch(name):
            parts.setdefault(match[1], {})[match[2]] = to_torch(tensor)
        else:
            state[name] = to_torch(tensor)
    joined = {name: torch.cat([each[part] for part in _PARTS]) for name, each in parts.items()}
    return {**state, **joined}


def _apart(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name == "text_projection.weight":  # a Linear rather than a parameter
        yield "text_projection", tensor.transposed
    elif name.endswith(("in_proj_weight", "in_proj_bias")):
        size = tensor.shape[0] // 3
        for index, part in enumerate(_PARTS):
            yield f"{name}.{part}", tensor[index * size : (index + 1) * size]
    else:
        yield name, tensor


def _from_transformers(name: str) -> str | None:
    vision = name.startswith("vision_model.")
    name = name.removeprefix("vision_model.").removeprefix("text_model.")
    if match := _TRANSFORMERS_LAYER.fullmatch(name):
        return _layer("visual." * vision, *match.groups())
    return (_VISION if vision else _TEXT).get(name)


def _layer(tower: str, index: str, part: str, kind: str) -> str | None:
    block = f"{tower}transformer.resblocks.{index}"
    if part in _LAYER:
        return f"{block}.{_LAYER[part]}.{kind}"
    if re.fullmatch(r"self_attn\.[qkv]_proj", part):
        return f"{block}.attn.in_proj_{kind}.{part.removeprefix('self_attn.')[0]}"
    return None
