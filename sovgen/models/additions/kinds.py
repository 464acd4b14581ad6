"""Kinds: what lies at a path, told by tensor names and configurations, never by the path's name.

Reads headers and JSON only. Knows nothing of whether it fits a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from sovgen.models.folder import INDEX, is_folder, read_json
from sovgen.models.weights import SAFE, Header, read_header

MODEL, LORA, EMBEDDING, VAE = "model", "lora", "embedding", "vae"
CONTROLNET, ADAPTER, UPSCALER = "controlnet", "adapter", "upscaler"
KINDS = (MODEL, LORA, EMBEDDING, VAE, CONTROLNET, ADAPTER, UPSCALER)

IMAGE_ENCODER = "image_encoder"
# What the weights are called in a folder of diffusers', and in one of PEFT's.
LORA_FILE, PEFT_FILE = "pytorch_lora_weights.safetensors", "adapter_model.safetensors"
EMBEDDING_FILE = "learned_embeds.safetensors"
_LORA = (".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.", "_lora.")
# LyCORIS, which goes by the name of LoRA too.
_LYCORIS = (".hada_", ".lokr_")
_CONTROLNET = ("control_model.", "controlnet_cond_embedding.", "input_hint_block.")
_OF_CLASS = {"ControlNet": CONTROLNET, "Autoencoder": VAE}


def kind_of(path: Path) -> str | None:
    """One of KINDS; None for what is none of them.

    Raises ModelDamaged for a safetensors file or a configuration that cannot be read.
    """
    if path.is_dir():
        return _kind_of_folder(path)
    if path.suffix.lower() == SAFE and path.is_file():
        return _kind_of_file(read_header(path))
    return None


def adapter_files(folder: Path) -> list[Path]:
    """The files of an IP-Adapter that lie in a folder, none unless an image encoder is there too.

    Such a file holds a projection of the picture and the keys and values of each attention.
    """
    if not (folder / IMAGE_ENCODER).is_dir():
        return []
    headers = {path: read_header(path) for path in sorted(folder.glob(f"*{SAFE}"))}
    return [path for path, header in headers.items() if _is_adapter(header.tensors)]


def config_of(folder: Path) -> Mapping[str, Any]:
    """The `config.json` of one part in diffusers' layout; empty when there is none."""
    from sovgen.errors import ModelDamaged

    path = folder / "config.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{folder.name}/config.json cannot be read: {error}.") from error
    return read if isinstance(read, dict) else {}


def _kind_of_folder(path: Path) -> str | None:
    if is_folder(path):
        return UPSCALER if "Upscale" in str(read_json(path / INDEX).get("_class_name")) else MODEL
    cls = str(config_of(path).get("_class_name", ""))
    for piece, kind in _OF_CLASS.items():
        if piece in cls:
            return kind
    for name, kind in ((LORA_FILE, LORA), (PEFT_FILE, LORA), (EMBEDDING_FILE, EMBEDDING)):
        if (path / name).is_file():
            return kind
    return ADAPTER if adapter_files(path) else None


def _kind_of_file(header: Header) -> str | None:
    names = header.tensors.keys()
    for kind, holds in _SIGNS.items():
        if holds(names):
            return kind
    flat = all(len(tensor.shape) <= 2 for tensor in header.tensors.values())
    # A word or two: {"<cat-toy>": (768,)}, {"emb_params": (8, 768)}, {"clip_l": ..., "clip_g": ...}
    return EMBEDDING if flat and 0 < len(names) <= 2 and not _any(names, ".weight") else None


def _any(names: Collection[str], *pieces: str) -> bool:
    return any(piece in name for name in names for piece in pieces)


def _is_adapter(names: Collection[str]) -> bool:
    return any(name.startswith(("image_proj.", "ip_adapter.")) for name in names)


_SIGNS: Mapping[str, Callable[[Collection[str]], bool]] = {
    LORA: lambda names: _any(names, *_LORA, *_LYCORIS),
    ADAPTER: _is_adapter,
    CONTROLNET: lambda names: _any(names, *_CONTROLNET),
    MODEL: lambda names: _any(names, "diffusion_model.", "double_blocks.", "joint_blocks."),
    VAE: lambda names: _any(names, "decoder.conv_in."),
}
