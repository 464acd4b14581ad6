"""Describing: what an addition or an upscaler is, told from headers and configurations alone.

Needs no torch and no model, so the family is told as far as widths and names of tensors tell it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sovgen.errors import ModelUnsupported
from sovgen.models.additions import kinds
from sovgen.models.additions.addition import Addition, find_addition
from sovgen.models.additions.control_file import read_control
from sovgen.models.additions.families import OF_WIDTH
from sovgen.models.additions.kinds import config_of, kind_of
from sovgen.models.additions.shelf import list_shelf
from sovgen.models.card import read_license
from sovgen.models.upscaler import described
from sovgen.models.weights import Header, precision, read_header

_DOWN = re.compile(r"[._](?:lora_down|lora_A|lora\.down|lora_linear_layer\.down|down)\b")
_CROSS = re.compile(r"attn2[._](?:processor\.)?to_k")
# Pieces of the names that the layers of a LoRA have, with the family that has such layers.
_LAYERS = {
    "double_blocks": "FLUX.1",
    "single_transformer_blocks": "FLUX.1",
    "joint_blocks": "Stable Diffusion 3.x",
    "attn_add_": "Stable Diffusion 3.x",
    "attn.add_": "Stable Diffusion 3.x",
}
_OF_LATENT = {4: "Stable Diffusion 1.x, 2.x, XL or PixArt", 16: "Stable Diffusion 3.x or FLUX.1"}
# What trainers write of the words that call a LoRA, and of the tags that they saw.
_PHRASE, _TAGS = "modelspec.trigger_phrase", "ss_tag_frequency"
_MOST_TAGS = 8

Told = dict[str, object]


def describe_addition(source: str | Path, folders: Sequence[Path] = ()) -> Told | None:
    """Kind, family, sizes and what else its kind has; None for what is a model, or nothing known.

    Raises ModelDamaged and UnsafeWeights, and ModelUnsupported for what cannot be told apart.
    """
    addition = _found(str(source), folders)
    if addition is None:
        return None
    headers = [read_header(path) for path in addition.files]
    return {
        "name": addition.name,
        "path": str(addition.path),
        "kind": addition.kind,
        **_TOLD[addition.kind](addition, headers[0]),
        "parameters": sum(header.numbers for header in headers),
        "precision": precision(headers),
        "bytes": sum(path.stat().st_size for path in addition.files),
        "license": read_license(addition.path),
        "hash": addition.hash,
    }


def _found(source: str, folders: Sequence[Path]) -> Addition | None:
    path = Path(source).expanduser()
    for one in list_shelf(folders):
        if one.name == source:
            return _of_kind(one.kind, one.path)
    return _of_kind(kind_of(path), path) if path.exists() else None


def _of_kind(kind: str | None, path: Path) -> Addition | None:
    is_addition = kind in kinds.KINDS and kind != kinds.MODEL
    return find_addition(str(kind), str(path.absolute())) if is_addition else None


def _lora(_: Addition, header: Header) -> Told:
    downs = {name: t.shape for name, t in header.tensors.items() if _DOWN.search(name)}
    families = (family for piece, family in _LAYERS.items() if _any(header, piece))
    widths = (shape[1] for name, shape in downs.items() if _CROSS.search(name))
    family = next(families, None) or OF_WIDTH.get(next(widths, 0))
    ranks = sorted({shape[0] for shape in downs.values()})
    return {
        "family": family,
        "layers": len(downs),
        "rank": ranks[0] if len(ranks) == 1 else ranks,
        "trigger": header.metadata.get(_PHRASE),
        "tags": _tags(header),
    }


def _any(header: Header, piece: str) -> bool:
    return any(piece in name for name in header.tensors)


def _tags(header: Header) -> list[str]:
    """What most of the pictures were tagged with that it learnt from, as kohya's trainer counts."""
    try:
        counted = json.loads(header.metadata.get(_TAGS, "{}"))
        pairs = [(tag.strip(), int(n)) for one in counted.values() for tag, n in one.items()]
    except (ValueError, AttributeError, TypeError):
        return []
    totals: dict[str, int] = {}
    for tag, count in pairs:
        totals[tag] = totals.get(tag, 0) + count
    return sorted(totals, key=lambda tag: (-totals[tag], tag))[:_MOST_TAGS]


def _embedding(addition: Addition, header: Header) -> Told:
    shapes = [tensor.shape for tensor in header.tensors.values()]
    family = OF_WIDTH[2048] if len(shapes) > 1 else OF_WIDTH.get(shapes[0][-1])
    rows = 1 if len(shapes[0]) == 1 else shapes[0][0]
    return {"family": family, "words": rows, "trigger": addition.name}


def _vae(addition: Addition, header: Header) -> Told:
    ends = "decoder.conv_in.weight"
    stored = (t.shape[1] for name, t in header.tensors.items() if name.endswith(ends))
    config = config_of(addition.path) if addition.path.is_dir() else {}
    channels = config.get("latent_channels") or next(stored, None)
    return {"family": _OF_LATENT.get(channels or 0), "latent_channels": channels}


def _control(addition: Addition, _: Header) -> Told:
    try:
        config = _config_of_control(addition)
    except ModelUnsupported as error:
        return {"family": None, "usable": error.message}
    return {"family": OF_WIDTH.get(_number(config.get("cross_attention_dim")))}


def _config_of_control(addition: Addition) -> Mapping[str, Any]:
    return read_control(addition) if addition.path.is_file() else config_of(addition.path)


def _adapter(_: Addition, header: Header) -> Told:
    widths = (t.shape[1] for name, t in header.tensors.items() if "to_k_ip" in name)
    plus = "image_proj.latents" in header.tensors
    return {"family": OF_WIDTH.get(next(widths, 0)), "type": "plus" if plus else "plain"}


def _upscaler(addition: Addition, _: Header) -> Told:
    return described(addition.path)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


_TOLD: Mapping[str, Callable[[Addition, Header], Told]] = {
    kinds.LORA: _lora,
    kinds.EMBEDDING: _embedding,
    kinds.VAE: _vae,
    kinds.CONTROLNET: _control,
    kinds.ADAPTER: _adapter,
    kinds.UPSCALER: _upscaler,
}
