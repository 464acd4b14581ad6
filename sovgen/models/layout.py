"""Layout: what a model is made of, read from a folder or worked out from a single file.

Works out from the configurations what drawing has to know; knows nothing of how they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovgen.errors import ModelUnsupported
from sovgen.models.family import Configs, Family, Guidance
from sovgen.models.weights import Weights

# What diffusers' pipelines of these families themselves insist on.
_LEAST_GRID = 8


@dataclass(frozen=True)
class Layout:
    """A model that sovgen can drive.

    path: its folder or its single file
    kind: its row in the table of families
    parts: class names by part
    configs: each part's own configuration
    weights: the weight files of each part; a single file's are all in one
    numbers: how many numbers are stored for each part
    precision: the dtype in which most of them are stored
    own, own_parts: a single file whose parts of these names stand in place of the folder's
    """

    path: Path
    kind: Family
    parts: Mapping[str, str]
    configs: Configs
    weights: Mapping[str, Weights]
    numbers: Mapping[str, int]
    precision: str
    own: Path | None = None
    own_parts: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """A single safetensors file, not a diffusers folder."""
        return self.path.is_file()

    @property
    def family(self) -> str:
        """Told by the configuration, never by the name."""
        return self.kind.title(self.configs)

    @property
    def pipeline(self) -> str:
        """diffusers' class."""
        return self.kind.pipeline

    @property
    def guidance(self) -> Guidance:
        """How the model is guided."""
        return self.kind.guidance(self.configs)

    @property
    def denoiser(self) -> Mapping[str, Any]:
        """The configuration of the part that is asked at every step."""
        return self.configs[self.kind.denoiser]

    @property
    def towers(self) -> tuple[str, ...]:
        """The text towers that are there."""
        return tuple(name for name in self.kind.towers if name in self.parts)

    @property
    def tokens(self) -> dict[str, int]:
        """How many tokens each text tower reads, its markers included."""
        limits = self.kind.limits(self.configs)
        positions = {n: self.configs[n].get("max_position_embeddings", 77) for n in self.towers}
        return {name: int(limits.get(name, positions[name])) for name in self.towers}

    @property
    def cell(self) -> int:
        """Pixels of one latent cell, across and down."""
        vae = self.configs["vae"]
        channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels", [0] * 4)
        return int(2 ** (len(channels) - 1))

    @property
    def grid(self) -> int:
        """Width and height in pixels are multiples of it."""
        cells = self.kind.packed * int(self.denoiser.get("patch_size") or 1)
        return math.lcm(self.cell * cells, _LEAST_GRID)

    @property
    def largest_side(self) -> int | None:
        """Pixels across and down that the denoiser has positions for; None where it has no end."""
        positions = self.denoiser.get("pos_embed_max_size")
        return int(positions) * self.grid if positions else None

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels at which the model was trained."""
        size = self.denoiser.get("sample_size") or self.kind.side
        height, width = size if isinstance(size, list) else (size, size)
        return width * self.cell, height * self.cell


def refuse_other_tasks(name: str, kind: Family, configs: Configs) -> None:
    """Raise ModelUnsupported for a denoiser that takes more than the latent.

    A U-Net for inpainting takes a mask and the latent of what is around it besides.
    """
    latent = configs["vae"].get("latent_channels", 4) * kind.packed**2
    takes = configs[kind.denoiser].get("in_channels", latent)
    if takes not in (latent, *([2 * latent + 1] if kind.denoiser == "unet" else [])):
        raise ModelUnsupported(
            f"The denoiser of {name} takes {takes} channels, its latent has {latent}: it is made "
            "for editing, not for drawing from words.",
            "Use the text-to-image model of the same family.",
        )
