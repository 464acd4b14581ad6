"""Recording: what a library is told of a picture that was made here.

Knows pictures and their recipes; knows neither the model that drew them nor where they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from index import New
from index.making import SETTINGS, Making
from index.placing import LONGEST_SLUG, slug
from index.prompt import plain_words
from sovgen.picture import PRIVATE, Picture, encode_png, told_additions
from sovgen.recipe import Recipe


def new_entry(
    picture: Picture, encoder_match: str | None, private: bool, extra: Mapping[str, object]
) -> New:
    """A picture as the library takes it in; see `index.making` for the match and what is extra.

    private: no prompt, seed or anything that would prove a guess is left of it
    """
    recipe = picture.recipe
    if picture.configuration:
        extra = {**extra, "model_configuration": picture.configuration}
    if sums := told_additions(picture, private):
        extra = {**extra, "additions": sums}
    making = Making(
        producer="sovgen",
        prompt=recipe.prompt,
        negative=recipe.negative or None,
        model=recipe.model,
        model_hash=picture.model_hash,
        sampler=recipe.sampler,
        steps=recipe.steps,
        guidance=recipe.guidance,
        seed=recipe.seed,
        width=recipe.width,
        height=recipe.height,
        device=recipe.device,
        dtype=recipe.dtype,
        duration=picture.duration,
        encoder_match=encoder_match,
        safety=picture.safety,
        made=datetime.now().astimezone(),
        settings=_settings(recipe),
        extra=extra,
    )
    if private:
        making = replace(making, prompt=None, negative=None, seed=None)
        making = replace(making, settings=_private(making.settings))
    return New(
        data=encode_png(picture, private=private),
        stem=stem_of(picture, private),
        image=picture.image,
        making=making,
    )


def stem_of(picture: Picture, private: bool) -> str:
    """What the file's name begins with; together no longer than the library keeps.

    private: a seed in it would prove a guessed prompt
    """
    if private:
        return "picture"
    seed = str(picture.recipe.seed)
    return f"{slug(plain_words(picture.recipe.prompt), LONGEST_SLUG - len(seed) - 1)}-{seed}"


def _settings(recipe: Recipe) -> dict[str, object]:
    values = {name: getattr(recipe, name) for name in SETTINGS}
    return {name: value for name, value in values.items() if value not in (None, ())}


def _private(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in PRIVATE}
