"""Towers: the networks of CLIP, and the folder `image_encoder` that holds the image tower.

    image_encoder/open_clip_vision.safetensors   visual.* text_projection logit_scale, fp16
    image_encoder/open_clip_config.json          open_clip's configuration

The image tower is open_clip's TimmModel, so its names are open_clip's. Knows nothing of training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.timm_model import TimmModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sovgen.train.parts import part_of, samples_seen, write_part

FOLDER = "image_encoder"
WEIGHTS = "open_clip_vision.safetensors"
CONFIG = "open_clip_config.json"
MAX_SCALE = math.log(80)


class Towers(nn.Module):
    """The image tower, the scale, and, from scratch, the text tower and the names' own rows."""

    def __init__(self, visual: nn.Module, logit_scale: Tensor) -> None:
        super().__init__()
        self.visual = visual
        self.logit_scale = nn.Parameter(logit_scale)
        self.text: nn.Module | None = None

    def add_text(self, text: nn.Module, width: int, names: int, dim: int) -> None:
        """A text tower (width) of its own, and a free row for every name."""
        self.text = text
        self.text_projection = nn.Parameter(torch.randn(width, dim) * width**-0.5)
        self.names = nn.Parameter(torch.randn(names, dim) * dim**-0.5)

    def forward(self, pictures: Tensor, ids: Tensor | None) -> tuple[Tensor, ...]:
        """Unit rows of pictures (n, 3, s, s), and the scale; given ids (n, tokens) also unit rows
        of captions and of names. All that learns is used here, as training in parallel needs."""
        u = F.normalize(self.visual(pictures).float(), dim=-1)
        scale = self.logit_scale.clamp(max=MAX_SCALE).exp()
        if ids is None or self.text is None:
            return u, scale
        pooled = self.text(ids).pooler_output.float()
        w = F.normalize(pooled @ self.text_projection, dim=-1)
        return u, scale, w, F.normalize(self.names, dim=-1)


def new_visual(trunk: str, side: int, dim: int) -> nn.Module:
    """A newly drawn image tower: timm's `trunk`, projected to `dim`."""
    tower: nn.Module = TimmModel(trunk, dim, side, pool="", proj="linear", proj_bias=False)
    return tower


def read_config(model: Path) -> dict[str, Any]:
    """open_clip's configuration of a model folder's image tower. Raises BadCheckpoint."""
    config: dict[str, Any] = json.loads((part_of(model, FOLDER) / CONFIG).read_text())
    return config


def load_visual(model: Path) -> tuple[nn.Module, Tensor]:
    """A model folder's image tower, float32, and the logarithm of its scale."""
    config = read_config(model)["model_cfg"]
    vision = config["vision_cfg"]
    tower = new_visual(vision["timm_model_name"], vision["image_size"], config["embed_dim"])
    stored = load_file(part_of(model, FOLDER) / WEIGHTS)
    weights = {k.removeprefix("visual."): v for k, v in stored.items() if k.startswith("visual.")}
    tower.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    )
    return tower, stored.get("logit_scale", torch.tensor(math.log(25.0))).float()


def write_visual(
    folder: Path, towers: Towers, projection: Tensor, config: Mapping[str, Any], samples: int
) -> None:
    """FOLDER/image_encoder, fp16, whole or not at all. Raises NoRoom."""
    tensors = {f"visual.{k}": v for k, v in towers.visual.state_dict().items()}
    halved = {k: _half(v) for k, v in (tensors | {"text_projection": projection}).items()}
    halved["logit_scale"] = towers.logit_scale.detach().float().cpu()

    def write(to: Path) -> None:
        save_file(halved, to / WEIGHTS, metadata={"format": "pt"})
        (to / CONFIG).write_text(json.dumps(config, indent=1))

    write_part(folder, FOLDER, write, samples)


def write_projection(model: Path, folder: Path, projection: Tensor) -> None:
    """FOLDER/image_encoder: the model's own, with another projection of the text tower's output."""
    stored = load_file(part_of(model, FOLDER) / WEIGHTS) | {"text_projection": _half(projection)}

    def write(to: Path) -> None:
        save_file(stored, to / WEIGHTS, metadata={"format": "pt"})
        (to / CONFIG).write_text(json.dumps(read_config(model), indent=1))

    write_part(folder, FOLDER, write, samples_seen(model, FOLDER))


def normalised(x: Tensor) -> Tensor:
    """Pictures (n, 3, h, w), 0 .. 1, with OpenAI's mean and deviation taken off."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (x - mean) / std


def _half(w: Tensor) -> Tensor:
    w = w.detach().cpu()
    return (w.half() if w.is_floating_point() else w).contiguous()
