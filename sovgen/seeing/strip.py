"""Strip: a film as one labelled picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.export.sheet import Band, Tile, contact_sheet
from index.prompt import plain_words

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.seeing.film import Film


SIDE = 128


def film_strip(film: Film, side: int = SIDE) -> Image.Image:
    """Three rows: forward, and the two sides of reverse; RGB, each frame `side` pixels square."""
    recipe = film.recipe
    forward = [Tile(film.source, "0 % noise")]
    ascending = sorted(film.frames, key=lambda frame: frame.noise)
    # Levels that round to the same look the same.
    levels = {_percent(frame.noise): frame.dissolved for frame in ascending}
    forward += [Tile(image, level) for level, image in levels.items()]
    # Some samplers ask the denoiser twice or more in a step.
    each = "step" if film.steps == recipe.steps else "evaluation"
    given = [Tile(f.given, f"{each} {f.step}: {_percent(f.noise)}") for f in film.frames]
    predicted = [Tile(f.predicted, f"in {each} {f.step} of {film.steps}") for f in film.frames]
    given.append(Tile(film.picture, "the picture"))
    return contact_sheet(
        [
            Band("Forward: a picture dissolves in noise", forward),
            Band(
                f"Reverse: noise becomes \u201c{plain_words(recipe.prompt)}\u201d "
                f"({recipe.model}, {recipe.sampler}, guidance {recipe.guidance:g})",
                given,
            ),
            Band("Reverse: the picture that the denoiser sees in it", predicted),
        ],
        side,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.0f} % noise" if share >= 0.005 else f"{share * 100:.1g} % noise"
