"""Film: both halves of diffusion, one moment beside the other.

Forward: a picture dissolves in noise. Reverse: noise becomes a picture, and at each moment the
denoiser has a picture of its own in mind. Knows a model and a recipe; knows nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovgen.errors import BrokenPicture
from sovgen.generate.conditioning import condition
from sovgen.generate.decoding import decode
from sovgen.generate.encoding import encode
from sovgen.generate.equipment import additions_of, equip_for
from sovgen.generate.filling import fill
from sovgen.generate.job import is_guided
from sovgen.generate.sampling import OnStep, denoise, draw_noise, generators
from sovgen.generate.watching import Moment

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


@dataclass(frozen=True)
class Frame:
    """One moment: the evaluation, counted from 1, and the noise's share of the variance, 0 .. 1."""

    step: int
    noise: float
    given: Image.Image
    predicted: Image.Image
    dissolved: Image.Image


@dataclass(frozen=True)
class Film:
    """A drawing, watched.

    recipe: nothing in it is left open; steps: how many evaluations it took
    frames: from noise alone to nearly none
    picture: what came of it; source: what dissolves
    """

    recipe: Recipe
    steps: int
    frames: Sequence[Frame]
    picture: Image.Image
    source: Image.Image


def watch(
    model: Model,
    recipe: Recipe,
    frames: int,
    source: Image.Image | None = None,
    on_step: OnStep | None = None,
) -> Film:
    """Draw a recipe and keep at most so many of its moments, the first and the last among them.

    source: what dissolves, cut to the recipe's size; else the picture that was drawn
    Raises BadRecipe, what `additions_of` raises, and BrokenPicture when what comes of it is no
    picture.
    """
    from PIL import ImageOps

    additions = additions_of(model, recipe, {})
    filled = additions.named_in(fill(model, recipe))
    guided = is_guided(model, filled)
    equipment = equip_for(model, filled, additions, {}, guided)
    texts = condition(
        model,
        [filled.prompt],
        [filled.negative],
        guided=guided,
        steps=filled.steps or 1,
        clip_skip=filled.clip_skip,
    )
    chances = generators([filled.seed])
    noise = draw_noise(model, filled.width or 0, filled.height or 0, chances)
    moments: list[Moment] = []
    latents = denoise(
        model,
        texts,
        noise,
        chances,
        filled,
        on_step,
        equipment=equipment,
        on_moment=moments.append,
    )
    picture = _seen(model, latents)
    ground = ImageOps.fit(source.convert("RGB"), picture.size) if source else picture
    distinct = _distinct(moments)
    kept = [distinct[number] for number in _spread(len(distinct), frames)]
    shown = _frames(model, [(i, moments[i]) for i in kept], encode(model, ground), noise)
    return Film(filled, len(moments), list(shown), picture, ground)


def _frames(
    model: Model, moments: Sequence[tuple[int, Moment]], clean: Tensor, noise: Tensor
) -> Iterator[Frame]:
    for index, moment in moments:
        yield Frame(
            step=index + 1,
            noise=moment.noise,
            given=_seen(model, moment.noisy),
            predicted=_seen(model, moment.predicted),
            dissolved=_seen(model, moment.alpha * clean + moment.sigma * noise),
        )


def _seen(model: Model, latents: Tensor) -> Image.Image:
    [image] = decode(model, latents.float())
    if isinstance(image, BrokenPicture):
        raise image
    return image


def _distinct(moments: Sequence[Moment]) -> list[int]:
    """One evaluation for each level of noise, the last.

    Samplers of second order try a step, and evaluate again from where it should have led: the same
    level twice, of which only the latter stands on the way to the picture.
    """
    following = [*(moment.noise for moment in moments[1:]), math.inf]
    pairs = enumerate(zip(moments, following, strict=True))
    return [i for i, (moment, after) in pairs if not math.isclose(moment.noise, after)]


def _spread(count: int, wanted: int) -> list[int]:
    """At most so many of 0 .. count - 1, evenly, both ends among them."""
    if wanted >= count:
        return list(range(count))
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]
