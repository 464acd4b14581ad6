"""Tiny CLIPs of every layout, from the real classes, written to disk; with weights that matter.

Freshly made towers hold weights so small that a wrong activation or a lost layer hardly shows, so
that all weights are drawn anew. The text towers read CLIP's own vocabulary.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, TypeVar

import open_clip
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTextModel

from index.bundled import bundled_model

M = TypeVar("M", bound=torch.nn.Module)

WIDTH = 24
CONTEXT = 20
SIDE = 32

TEXT = {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3}
VISION = {"image_size": SIDE, "patch_size": 8, "width": 32, "head_width": 8, "layers": 2}
TIMM = {
    "timm_model_name": "resnet10t",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
    "image_size": SIDE,
}
PREPROCESS = {
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.25],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


def open_clip_folder(
    folder: Path,
    *,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    preprocess: dict[str, Any] | None = None,
    **model: Any,  # noqa: ANN401
) -> Path:
    """An open_clip folder; `text`, `vision`, `preprocess` and `model` change its config."""
    config = {
        "embed_dim": WIDTH,
        "vision_cfg": vision or VISION,
        "text_cfg": {**TEXT, **(text or {})},
        **model,
    }
    parts = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    state = _drawn(kind(**parts)).state_dict()
    folder.mkdir(parents=True)
    save_file(_as(state, dtype), folder / "open_clip_model.safetensors", {"format": "pt"})
    whole = {"model_cfg": config, "preprocess_cfg": {**PREPROCESS, **(preprocess or {})}}
    (folder / "open_clip_config.json").write_text(json.dumps(whole))
    return folder


def transformers_folder(folder: Path, *, activation: str = "quick_gelu") -> Path:
    """A transformers `CLIPModel` folder with the tokenizer and the image processor."""
    common = {"intermediate_size": 64, "num_attention_heads": 4, "hidden_act": activation}
    config = CLIPConfig(
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "max_position_embeddings": CONTEXT,
            **common,
        },
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "image_size": SIDE,
            "patch_size": 8,
            **common,
        },
        projection_dim=WIDTH,
    )
    _drawn(CLIPModel(config)).save_pretrained(folder)
    size = {"shortest_edge": SIDE}
    CLIPImageProcessorPil(size=size, crop_size=SIDE).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(bundled_model() / "tokenizer" / name, folder / name)
    return folder


def diffusers_folder(folder: Path) -> Path:
    """The parts of a diffusers folder that make an encoder, as the bundled model has them."""
    config = CLIPTextConfig(
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        hidden_act="gelu",
    )
    _drawn(CLIPTextModel(config)).save_pretrained(folder / "text_encoder")
    shutil.copytree(bundled_model() / "tokenizer", folder / "tokenizer")
    open_clip_folder(folder / "image_encoder", vision=TIMM)
    file = folder / "image_encoder" / "open_clip_model.safetensors"
    state = load_file(file)
    half = {k: v for k, v in state.items() if k.startswith("visual.") or k == "text_projection"}
    save_file(half, file, {"format": "pt"})
    return folder


def _drawn(model: M) -> M:
    torch.manual_seed(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.3 if weight.ndim < 2 else 1.5 * weight[0].numel() ** -0.5
            weight.normal_(0, spread if weight.ndim else 0.0)
            if "norm" in name or "ln_" in name:
                weight.add_(1.0 if name.endswith("weight") else 0.0)
    return model.eval()


def _as(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
