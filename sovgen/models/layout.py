"""Layout: what a model is made of, read from a folder or worked out from a single file.

Knows the families that sovgen draws with and how their configurations tell them apart; knows
nothing of how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SD = "StableDiffusionPipeline"
SDXL = "StableDiffusionXLPipeline"
FAMILIES = {SD: "Stable Diffusion 1.x", SDXL: "Stable Diffusion XL"}
SD2 = "Stable Diffusion 2.x"
WEIGHTED = ("unet", "vae", "text_encoder", "text_encoder_2")
TOWERS = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Layout:
    """A model that sovgen can drive.

    path: its folder or its single file
    pipeline: diffusers' class
    parts: class names by part
    configs: each part's own configuration
    """

    path: Path
    pipeline: str
    parts: Mapping[str, str]
    configs: Mapping[str, Mapping[str, Any]]

    @property
    def family(self) -> str:
        """Told by the configuration, never by the name."""
        # Within one pipeline class, only SD 2.x projects its attention by matrices.
        if self.pipeline == SD and self.configs["unet"].get("use_linear_projection"):
            return SD2
        return FAMILIES[self.pipeline]

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels at which the model was trained."""
        size = self.configs["unet"].get("sample_size") or 64
        height, width = size if isinstance(size, list) else (size, size)
        return width * self.grid, height * self.grid

    @property
    def grid(self) -> int:
        """Pixels of one latent cell; width and height are multiples of it."""
        vae = self.configs["vae"]
        channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels", [0] * 4)
        return int(2 ** (len(channels) - 1))
