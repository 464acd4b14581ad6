"""Family: what one kind of model is made of, and how its pipeline is spoken to.

A table's row, read without torch; one file of `sovgen.models.families` fills each in. Knows no
files and no pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Configs = Mapping[str, Mapping[str, Any]]

# free: by a second, negative evaluation (classifier-free); embedded: the denoiser is told the
# scale as a number and reads no negative; none: the weights were distilled to do without.
Guidance = Literal["free", "embedded", "none"]

CLIP_TOWERS = frozenset(("CLIPTextModel", "CLIPTextModelWithProjection"))
CLIP_TOKENIZERS = frozenset(("CLIPTokenizer", "CLIPTokenizerFast"))
T5 = frozenset(("T5EncoderModel",))
T5_TOKENIZERS = frozenset(("T5Tokenizer", "T5TokenizerFast"))
KL = frozenset(("AutoencoderKL", "AutoencoderTiny"))


@dataclass(frozen=True)
class Family:
    """One kind of model; functions of it are given the configurations of all parts, by part.

    pipeline: diffusers' class; `aliases` are classes whose folders hold the same parts
    denoiser: the part that is asked at every step
    parts: the classes that each part may be of; all are needed but the `optional` ones
    title: what it is called, told by the configuration and never by a name
    defaults: steps, and guidance as in Recipe
    guidance: how it is guided
    limits: tokens read by towers that would take more than the family was trained with, by part
    packed: latent cells, across and down, that the denoiser takes as one
    side: latent cells across and down at which it was trained, where no configuration says it
    second: what `encode_prompt` gives beside the states, if anything
    encoding: what it is called with besides the text, given whether the text is a negative
    drawing: what the pipeline is called with besides what all have in common
    scores: how beautiful a picture is that the denoiser is told of, and its negative
    aligned: the noise levels of diffusers' `AysSchedules` that were worked out for its weights
    begins: whether it draws from noise alone; one that does not finishes pictures of others
    """

    pipeline: str
    denoiser: str
    parts: Mapping[str, frozenset[str]]
    title: Callable[[Configs], str]
    defaults: Callable[[Configs], tuple[int, float]]
    encoding: Callable[[Configs, bool], Mapping[str, Any]]
    guidance: Callable[[Configs], Guidance] = lambda configs: "free"
    limits: Callable[[Configs], Mapping[str, int]] = lambda configs: {}
    aliases: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    packed: int = 1
    side: int = 64
    second: Literal["pooled", "mask"] | None = None
    drawing: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[float, float] | None = None
    aligned: str | None = None
    begins: bool = True

    @property
    def towers(self) -> tuple[str, ...]:
        """The text towers among the parts."""
        return tuple(name for name in self.parts if name.startswith("text_encoder"))

    @property
    def weighted(self) -> tuple[str, ...]:
        """The parts that hold weights."""
        return (self.denoiser, "vae", *self.towers)
