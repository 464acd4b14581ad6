"""sovgen's own account: a PNG iTXt chunk `sovgen` of compact JSON.

    {"model_hash":"9f...","recipe":{"prompt":"a red fox","seed":7,...},"version":1}

`recipe` holds the fields of sovgen's Recipe; what else stands in the object is kept as extra.
"""

from __future__ import annotations

from index.making import SETTINGS, Making
from index.provenance import values
from index.provenance.metadata import Metadata

KEYWORD = "sovgen"
_RECIPE = frozenset(
    "prompt negative model sampler steps guidance seed width height device dtype".split()
)
_OUTSIDE = frozenset(("version", "recipe", "model_hash", "encoder_match", "safety"))


def read(metadata: Metadata) -> Making | None:
    """The making that sovgen wrote, or None."""
    whole = values.table(values.parse(metadata.texts.get(KEYWORD)))
    recipe = values.table(whole.get("recipe"))
    if not recipe:
        return None
    read_settings = {n: values.typed(recipe.get(n), kind) for n, kind in SETTINGS.items()}
    settings = {name: value for name, value in read_settings.items() if value is not None}
    return Making(
        producer="sovgen",
        prompt=values.text(recipe.get("prompt")),
        negative=values.text(recipe.get("negative")),
        model=values.filled(recipe.get("model")),
        model_hash=values.filled(whole.get("model_hash")),
        sampler=values.filled(recipe.get("sampler")),
        steps=values.count(recipe.get("steps")),
        guidance=values.number(recipe.get("guidance")),
        seed=values.whole(recipe.get("seed")),
        width=values.count(recipe.get("width")),
        height=values.count(recipe.get("height")),
        device=values.filled(recipe.get("device")),
        dtype=values.filled(recipe.get("dtype")),
        encoder_match=values.filled(whole.get("encoder_match")),
        safety=values.filled(whole.get("safety")),
        settings=settings,
        extra=values.rest(whole, _OUTSIDE) | values.rest(recipe, _RECIPE.union(settings)),
    )
