"""Model: a pipeline in memory and what is known of it.

Holds what loading found out; knows neither how it was found nor how pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovgen.models.defaults import Defaults
from sovgen.models.family import Configs, Family, Guidance

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.additions.equipping import Equipped
    from sovgen.models.upscaler import Upscaler


@dataclass(frozen=True)
class Opened:
    """What loading gives.

    pipe: the diffusers pipeline, on its device; own_scheduler: as it came with it
    moving: the weights do not fit on the device, so that each part moves there when it is needed
    """

    pipe: Any
    own_scheduler: Any
    moving: bool


@dataclass(frozen=True, eq=False)
class Model:
    """A pipeline ready to draw.

    opening: loads the weights, at the first use of what they are needed for
    name, source: what recipes call it; the folder or file that it came from
    hash, configuration: 16 hex digits, see `sovgen.models.identity`
    kind, configs: its row in the table of families, and the configurations of its parts
    native_size: width and height in pixels
    cell: pixels of one latent cell; width and height are multiples of `grid`
    largest_side: pixels across and down at most; None where there is no end
    guidance: how it is guided, see `sovgen.models.family`
    tokens: how many tokens each text tower reads, its markers included
    device, dtype, dtype_reason: where the denoiser computes, and why so
    checks_safety: the pipeline brought its safety checker
    folders: where models with names lie besides the usual place
    upscalers: those that recipes have asked for, by name and by source, filled while drawing
    refiners: likewise the models that take over from it
    texts: text states by prompt, clip_skip and role, filled while drawing
    compiled: its denoiser as other backends than torch ask it, filled while drawing
    equipped: the additions that are in the pipeline at the moment, by kind

    Drawing with one Model from two threads at once is not supported.
    """

    opening: Callable[[], Opened]
    name: str
    source: str
    hash: str
    family: str
    kind: Family
    configs: Configs
    native_size: tuple[int, int]
    cell: int
    grid: int
    defaults: Defaults
    guidance: Guidance
    tokens: Mapping[str, int]
    device: str
    dtype: str
    dtype_reason: str
    configuration: str | None = None
    checks_safety: bool = False
    largest_side: int | None = None
    folders: tuple[Path, ...] = ()
    upscalers: dict[str, Upscaler] = field(default_factory=dict, repr=False)
    refiners: dict[str, Model] = field(default_factory=dict, repr=False)
    texts: dict[tuple[str, int | None, bool], tuple[Tensor, ...]] = field(
        default_factory=dict, repr=False
    )
    compiled: dict[str, Callable[..., tuple[Tensor, ...]]] = field(default_factory=dict, repr=False)
    equipped: dict[str, Equipped] = field(default_factory=dict, repr=False)

    @cached_property
    def opened(self) -> Opened:
        """Raises ModelDamaged for damage within the tensors."""
        return self.opening()

    @property
    def pipe(self) -> Any:  # noqa: ANN401 - diffusers' pipelines share no typed base
        """The diffusers pipeline, on its device."""
        return self.opened.pipe

    @property
    def own_scheduler(self) -> Any:  # noqa: ANN401
        """The scheduler that came with it."""
        return self.opened.own_scheduler

    @property
    def moving(self) -> bool:
        """Whether its parts take turns on the device."""
        return self.opened.moving

    @property
    def denoiser(self) -> Any:  # noqa: ANN401 - diffusers' models share no typed base
        """The part that is asked at every step."""
        return getattr(self.pipe, self.kind.denoiser)

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.pipe.vae.config.latent_channels)

    @property
    def takes_mask(self) -> bool:
        """Whether it was made for inpainting: it is shown a mask and what is around it."""
        takes = self.configs[self.kind.denoiser].get("in_channels", 4)
        return bool(takes == 2 * self.configs["vae"].get("latent_channels", 4) + 1)

    @property
    def max_tokens(self) -> int:
        """Tokens of the text tower that reads the most, its markers included."""
        return max(self.tokens.values())
