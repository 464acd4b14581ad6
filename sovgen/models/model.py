"""Model: a pipeline in memory and what is known of it.

Holds what loading found out; knows neither how it was found nor how pictures are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sovgen.models.defaults import Defaults

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Model:
    """A pipeline ready to draw.

    pipe: the diffusers pipeline, on its device
    name, source: what recipes call it; the folder or file that it came from
    hash: 16 hex digits, see `sovgen.models.identity`
    native_size: width and height in pixels
    cell: pixels of one latent cell; width and height are multiples of `grid`
    max_tokens: tokens of the shortest text tower, its two markers included
    device, dtype, dtype_reason: where the denoiser computes, and why so
    checks_safety: the pipeline brought its safety checker
    texts: text states by prompt and clip_skip, filled while drawing

    Drawing with one Model from two threads at once is not supported.
    """

    pipe: Any
    name: str
    source: str
    hash: str
    family: str
    native_size: tuple[int, int]
    cell: int
    grid: int
    defaults: Defaults
    max_tokens: int
    device: str
    dtype: str
    dtype_reason: str
    own_scheduler: Any
    checks_safety: bool = False
    texts: dict[tuple[str, int | None], tuple[Tensor, ...]] = field(
        default_factory=dict, repr=False
    )
