"""generate: recipes become pictures, batch by batch.

The four hops as one story: texts, noise, latents, pixels. Knows a loaded model and recipes; knows
nothing of files or libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from sovgen.errors import BrokenPicture
from sovgen.generate.canvas import Canvas, lay_canvas
from sovgen.generate.conditioning import condition
from sovgen.generate.cutout import cut_out
from sovgen.generate.decoding import decode
from sovgen.generate.encoding import encode_canvas
from sovgen.generate.enlarging import enlarge
from sovgen.generate.equipment import Equipment, equip_for
from sovgen.generate.job import Job, asked, is_guided, job_of
from sovgen.generate.memory import batch_size, decodes_in_tiles, draw_within_memory
from sovgen.generate.refining import refine
from sovgen.generate.sampling import OnStep, denoise, generators
from sovgen.generate.schedulers import scheduler_of
from sovgen.generate.sparing import in_tiles, tiled
from sovgen.generate.variation import noise_of
from sovgen.models.additions.wanted import Additions
from sovgen.models.safety import judge
from sovgen.picture import Picture
from sovgen.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model

OnNotice = Callable[[str], None]


def generate(
    model: Model,
    recipes: Iterable[Recipe],
    *,
    batch: int | None = None,
    exact: bool = False,
    among: int = 0,
    sources: Mapping[str, Image.Image] | None = None,
    on_step: OnStep | None = None,
    on_notice: OnNotice | None = None,
) -> Iterator[Picture]:
    """Draw the recipes, in order; neighbours of one shape together.

    batch: pictures at once; None chooses by their size
    exact: draw each alone, so that no pixel can depend on the batch
    among: how many pictures the run has of which these are some, where it has more
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
    jobs = asked(model, [job_of(model, recipe, pictures, known) for recipe in recipes], among)
    drawing = [job.recipe for job in jobs if not job.recipe.enlarges_alone]
    for recipe in {(r.sampler, r.schedule, r.steps): r for r in drawing}.values():
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


def _generate(
    model: Model,
    jobs: Sequence[Job],
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


def _spared(model: Model, job: Job) -> Job:
    return replace(job, recipe=in_tiles(model, job.recipe))


def _draw(
    model: Model,
    jobs: Sequence[Job],
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
    model: Model, job: Job, image: Image.Image | BrokenPicture, seconds: float
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
