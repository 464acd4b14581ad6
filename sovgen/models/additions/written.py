"""Written: LoRAs that a prompt names itself, `<lora:clipart:0.8>`, as in A1111.

Recipes name them in a field of their own, so that pictures are found by them and prompts hold
nothing but words. Knows text; knows no files.
"""

from __future__ import annotations

import re
from dataclasses import replace

from index.prompt import ADDITION
from sovgen.errors import BadRecipe
from sovgen.recipe import Recipe
from sovgen.weighted import with_weight

_NAMED = re.compile(rf"\s*{ADDITION}")


def take_written(recipe: Recipe) -> Recipe:
    """The recipe with the LoRAs that its prompt names among its own, and out of the prompt.

    Raises BadRecipe for a hypernetwork, a LoRA in the negative, or weights that are not one number.
    """
    if found := _NAMED.search(recipe.negative):
        raise BadRecipe(
            f"The negative names an addition: {found[0].strip()}.",
            "Name it in the prompt, with a weight below 0 to draw away from it.",
        )
    named = [_named(found) for found in _NAMED.finditer(recipe.prompt)]
    if not named:
        return recipe
    prompt = _NAMED.sub("", recipe.prompt).lstrip()
    return replace(recipe, prompt=prompt, loras=(*recipe.loras, *named))


def _named(found: re.Match[str]) -> str:
    text = found[0].strip()
    kind, name, *weights = text[1:-1].split(":")
    if kind == "hypernet":
        raise BadRecipe(f"Hypernetworks are not drawn with: {text}.", "Take it out of the prompt.")
    try:
        [weight] = {float(weight) for weight in weights or ("1",)}
    except ValueError:
        raise BadRecipe(
            f"{text} does not give one number for its weight.",
            "Write <lora:NAME:0.8>; text towers and denoiser have one weight here.",
        ) from None
    return with_weight(name.strip(), weight)
