"""Layout: what a model is made of, read from a folder or worked out from a single file.

Knows the families that sovgen draws with and how their configurations tell them apart; knows
nothing of how they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovgen.errors import ModelUnsupported
from sovgen.models.weights import Weights

SD = "StableDiffusionPipeline"
SDXL = "StableDiffusionXLPipeline"
FAMILIES = {SD: "Stable Diffusion 1.x", SDXL: "Stable Diffusion XL"}
SD2 = "Stable Diffusion 2.x"
WEIGHTED = ("unet", "vae", "text_encoder", "text_encoder_2")
TOWERS = ("text_encoder", "text_encoder_2")
# What diffusers' pipelines of these families themselves insist on.
_LEAST_GRID = 8


@dataclass(frozen=True)
class Layout:
    """A model that sovgen can drive.

    path: its folder or its single file
    pipeline: diffusers' class
    parts: class names by part
    configs: each part's own configuration
    weights: the weight files of each part; a single file's are all in one
    numbers: how many numbers are stored for each part
    precision: the dtype in which most of them are stored
    """

    path: Path
    pipeline: str
    parts: Mapping[str, str]
    configs: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, Weights]
    numbers: Mapping[str, int]
    precision: str

    @property
    def is_file(self) -> bool:
        """A single safetensors file, not a diffusers folder."""
        return self.path.is_file()

    @property
    def family(self) -> str:
        """Told by the configuration, never by the name."""
        # Within one pipeline class, only SD 2.x projects its attention by matrices.
        if self.pipeline == SD and self.configs["unet"].get("use_linear_projection"):
            return SD2
        return FAMILIES[self.pipeline]

    @property
    def cell(self) -> int:
        """Pixels of one latent cell, across and down."""
        vae = self.configs["vae"]
        channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels", [0] * 4)
        return int(2 ** (len(channels) - 1))

    @property
    def grid(self) -> int:
        """Width and height in pixels are multiples of it."""
        return math.lcm(self.cell, _LEAST_GRID)

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels at which the model was trained."""
        size = self.configs["unet"].get("sample_size") or 64
        height, width = size if isinstance(size, list) else (size, size)
        return width * self.cell, height * self.cell


def refuse_other_tasks(name: str, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Raise ModelUnsupported for a denoiser that takes more than the latent."""
    takes, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if takes != latent:
        raise ModelUnsupported(
            f"The denoiser of {name} takes {takes} channels, its latent has {latent}: it is made "
            "for inpainting or editing, not for drawing from words.",
            "Use the text-to-image model of the same family.",
        )
