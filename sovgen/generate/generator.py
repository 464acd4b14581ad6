"""generate: recipes become pictures, batch by batch.

The four hops as one story: texts, noise, latents, pixels. Knows a loaded model and recipes; knows
nothing of files or libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import TYPE_CHECKING

from index.prompt import is_plain
from sovgen.errors import BrokenPicture
from sovgen.generate.canvas import Canvas, lay_canvas
from sovgen.generate.conditioning import condition, dropped_words, lengths
from sovgen.generate.cutout import cut_out
from sovgen.generate.decoding import decode
from sovgen.generate.encoding import encode_canvas
from sovgen.generate.enlarging import enlarge
from sovgen.generate.equipment import Equipment, additions_of, equip_for
from sovgen.generate.filling import differences, fill
from sovgen.generate.fitting import fit
from sovgen.generate.memory import batch_size, decodes_in_tiles, draw_within_memory
from sovgen.generate.refining import check_refiner, refine
from sovgen.generate.sampling import OnStep, denoise, generators
from sovgen.generate.schedulers import scheduler_of
from sovgen.generate.sparing import in_tiles, tiled
from sovgen.generate.texts import reads_language
from sovgen.generate.variation import noise_of
from sovgen.models.additions.wanted import Additions
from sovgen.models.additions.written import take_written
from sovgen.models.safety import judge
from sovgen.picture import Picture
from sovgen.recipe import OWN, Recipe

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model

OnNotice = Callable[[str], None]


# What the pictures of one batch have in common: all but what is each one's own.
_SHARED = [field.name for field in fields(Recipe) if field.name not in OWN]


@dataclass(frozen=True)
class _Job:
    """A recipe that leaves nothing open, and what its maker should know of it.

    lengths: how long its texts are, see `sovgen.generate.conditioning`
    """

    recipe: Recipe
    additions: Additions
    notices: tuple[str, ...]
    lengths: tuple[int, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """Jobs of one shape can be drawn together."""
        return (self.additions, *(getattr(self.recipe, name) for name in _SHARED), self.lengths)


def generate(
    model: Model,
    recipes: Iterable[Recipe],
    *,
    batch: int | None = None,
    exact: bool = False,
    sources: Mapping[str, Image.Image] | None = None,
    on_step: OnStep | None = None,
    on_notice: OnNotice | None = None,
) -> Iterator[Picture]:
    """Draw the recipes, in order; neighbours of one shape together.

    batch: pictures at once; None chooses by their size
    exact: draw each alone, so that no pixel can depend on the batch
    sources: the pictures that the recipes name, by id
    on_step: called as on_step(i, n, latents) after the i-th of n evaluations of a batch
    on_notice: told what the maker should know, such as words that were dropped

    The same recipes with the same batch and threads give identical pixels. Every recipe is checked
    before this returns: raises BadRecipe. While drawing, raises OutOfMemory when not even one
    picture fits, and BrokenPicture for NaN or nothing but black, after the sound pictures of its
    batch. Pictures that were given stand, whatever comes after them.
    """
    pictures = sources or {}
    known: dict[tuple[object, ...], Additions] = {}
    jobs = [_job(model, recipe, pictures, known) for recipe in recipes]
    drawing = [job.recipe for job in jobs if not job.recipe.enlarges_alone]
    for recipe in {(r.sampler, r.schedule): r for r in drawing}.values():
        scheduler_of(model, recipe)
    tell = on_notice or (lambda _: None)
    told = dict.fromkeys(notice for job in jobs for notice in job.notices)
    if drawing and model.moving:
        tell(f"{model.name} does not fit on {model.device}: its parts take turns there, slower.")
    for notice in told:
        tell(notice)
    drawn = _generate(model, jobs, 1 if exact else batch, pictures, on_step, tell)
    return _telling(drawn, set(told), tell)


def _telling(drawn: Iterable[Picture], told: set[str], tell: OnNotice) -> Iterator[Picture]:
    """The pictures, once what only drawing could show was told of each."""
    for picture in drawn:
        for notice in picture.notices:
            if notice not in told:
                tell(notice)
        yield picture


def _job(
    model: Model,
    recipe: Recipe,
    sources: Mapping[str, Image.Image],
    known: dict[tuple[object, ...], Additions],
) -> _Job:
    """known: the additions of the recipes before, so that each is read and checked once."""
    recipe = take_written(recipe)
    key = tuple(getattr(recipe, name) for name in _SHARED)
    if key not in known:
        known[key] = additions_of(model, recipe, sources)
    additions = known[key]
    fitted, notices = fit(model, recipe, sources)
    filled = fill(model, fitted)
    check_refiner(model, filled)
    filled = additions.named_in(filled)
    notices += differences(model, recipe)
    if filled.enlarges_alone:
        return _Job(filled, additions, tuple(notices), lengths=())
    for name in ("prompt", "negative") if model.guidance == "free" else ("prompt",):
        if dropped := dropped_words(model, getattr(recipe, name)):
            notices.append(
                f"The {name} is longer than the {model.max_tokens} tokens that {model.name} "
                f"reads; these words were dropped: {' '.join(dropped)}"
            )
    if not (reads_language(model.pipe) or is_plain(recipe.prompt + recipe.negative)):
        notices.append(
            f"{model.family} models read the plain words of a prompt: its weights, turns and "
            "breaks do nothing."
        )
    texts = (recipe.prompt, recipe.negative, is_guided(model, filled), filled.steps or 1)
    return _Job(filled, additions, tuple(notices), lengths(model, *texts))


def is_guided(model: Model, recipe: Recipe) -> bool:
    """Whether a negative is drawn beside the prompt."""
    return model.guidance == "free" and (recipe.guidance or 0) > 1


def _generate(
    model: Model,
    jobs: Sequence[_Job],
    batch: int | None,
    sources: Mapping[str, Image.Image],
    on_step: OnStep | None,
    tell: OnNotice,
) -> Iterator[Picture]:
    for _, group in groupby(jobs, key=lambda job: job.shape):
        alike = list(group)
        size = batch or batch_size(model, alike[0].recipe)
        if decodes_in_tiles(model, alike[0].recipe):
            tell("Whole, a picture of this size needs more memory than is free: decoding in tiles.")
            alike = [_spared(model, job) for job in alike]
        for start in range(0, len(alike), size):
            chosen = alike[start : start + size]
            drawn = draw_within_memory(
                chosen,
                lambda some: _draw(model, some, sources, on_step),
                lambda job: _spared(model, job),
                tell,
            )
            yield from _sound(drawn)


def _spared(model: Model, job: _Job) -> _Job:
    return replace(job, recipe=in_tiles(model, job.recipe))


def _draw(
    model: Model,
    jobs: Sequence[_Job],
    sources: Mapping[str, Image.Image],
    on_step: OnStep | None,
) -> list[Picture | BrokenPicture]:
    """One batch of one shape."""
    began = time.perf_counter()
    recipes = [job.recipe for job in jobs]
    first = recipes[0]
    if first.enlarges_alone:
        images = [enlarge(model, recipe, sources, on_step) for recipe in recipes]
    else:
        images = _equipped(model, recipes, jobs[0].additions, sources, on_step)
    finished = [_cut_out(recipe, image) for recipe, image in zip(recipes, images, strict=True)]
    seconds = (time.perf_counter() - began) / len(jobs)
    return [_picture(model, *each, seconds) for each in zip(jobs, finished, strict=True)]


def _equipped(
    model: Model,
    recipes: Sequence[Recipe],
    additions: Additions,
    sources: Mapping[str, Image.Image],
    on_step: OnStep | None,
) -> list[Image.Image | BrokenPicture]:
    """By the model, with its additions."""
    first = recipes[0]
    equipment = equip_for(model, first, additions, sources, is_guided(model, first))
    with tiled(model, first.vae_tile):  # once another autoencoder has taken its place
        if first.upscale:
            return [enlarge(model, recipe, sources, on_step) for recipe in recipes]
        return _images(model, recipes, sources, equipment, on_step)


def _images(
    model: Model,
    recipes: Sequence[Recipe],
    sources: Mapping[str, Image.Image],
    equipment: Equipment,
    on_step: OnStep | None,
) -> list[Image.Image | BrokenPicture]:
    """The four hops."""
    first = recipes[0]
    # 1. texts
    conditioning = condition(
        model,
        [recipe.prompt for recipe in recipes],
        [recipe.negative for recipe in recipes],
        guided=is_guided(model, first),
        steps=first.steps or 1,
        clip_skip=first.clip_skip,
    )
    # 2. noise, and what it is laid over
    chances = generators([recipe.seed for recipe in recipes])
    noise = noise_of(model, recipes, chances)
    canvas = lay_canvas(first, sources)
    ground = encode_canvas(model, canvas) if canvas else None
    # 3. latents
    latents = denoise(model, conditioning, noise, chances, first, on_step, ground, equipment)
    if first.refiner:
        latents = refine(model, recipes, latents, noise, chances, ground, on_step)
    # 4. pixels
    images = decode(model, latents)
    return [_restored(canvas, image) for image in images] if canvas else images


def _restored(canvas: Canvas, image: Image.Image | BrokenPicture) -> Image.Image | BrokenPicture:
    """With what a mask protects put back."""
    return image if isinstance(image, BrokenPicture) else canvas.restored(image)


def _cut_out(recipe: Recipe, image: Image.Image | BrokenPicture) -> Image.Image | BrokenPicture:
    """With its ground taken away, if the recipe says so."""
    if isinstance(image, BrokenPicture) or not recipe.transparent:
        return image
    return cut_out(image) or image


def _picture(
    model: Model, job: _Job, image: Image.Image | BrokenPicture, seconds: float
) -> Picture | BrokenPicture:
    if isinstance(image, BrokenPicture):
        return BrokenPicture(f"Seed {job.recipe.seed}: {image.message}", image.hint)
    return Picture(
        image=image,
        recipe=job.recipe,
        model_hash=None if job.recipe.enlarges_alone else model.hash,
        configuration=None if job.recipe.enlarges_alone else model.configuration,
        notices=(*job.notices, *_of_ground(job.recipe, image)),
        additions=job.additions.sums,
        safety=judge(model.pipe, [image])[0] if model.checks_safety else None,
        duration=seconds,
    )


def _of_ground(recipe: Recipe, image: Image.Image) -> list[str]:
    if not recipe.transparent or image.mode == "RGBA":
        return []
    return [f"Seed {recipe.seed}: no even ground was found to take away; it stays."]


def _sound(drawn: Iterable[Picture | BrokenPicture]) -> Iterator[Picture]:
    """The sound ones first; then the first that is broken is raised."""
    broken = []
    for one in drawn:
        if isinstance(one, Picture):
            yield one
        else:
            broken.append(one)
    for error in broken:
        raise error
