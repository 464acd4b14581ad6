"""Canvas: what a picture that does not begin from noise alone is drawn on.

A picture of the recipe's size, and a mask that is white where it is drawn anew. What the mask
leaves black comes out exactly as it was. Knows nothing of models or latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovgen.errors import BadRecipe
from sovgen.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

    Sources = Mapping[str, Image.Image]

# What a lossy format makes of pure black and pure white.
_BLACK, _WHITE = 16, 239
# The edge of what is drawn anew fades over a side's 64th, and at most over so many pixels.
_FADE = 6
# So few pixels of a side are cut off rather than scaled away: no grid is coarser.
_LITTLE = 64


@dataclass(frozen=True)
class Canvas:
    """image: RGB; mask: L of the same size, or None where all of it is drawn anew."""

    image: Image.Image
    mask: Image.Image | None

    def restored(self, drawn: Image.Image) -> Image.Image:
        """The picture drawn on it, with what the mask protects as it was before.

        The change fades in within the mask, so that there is no edge to see.
        """
        from PIL import Image

        if self.mask is None:
            return drawn
        return Image.composite(drawn, self.image, _faded(self.mask))


def lay_canvas(recipe: Recipe, sources: Sources) -> Canvas | None:
    """What the recipe begins from, in the recipe's size; None for one that begins from noise.

    Raises BadRecipe for a mask that leaves nothing to draw.
    """
    if recipe.init is None:
        return None
    left, top, right, bottom = margins_of(recipe)
    size = (recipe.width or 0) - left - right, (recipe.height or 0) - top - bottom
    source = on_white(source_of(sources, recipe.init))
    image = _placed(source, size)
    mask = _mask(recipe, sources, source.size, size)
    if recipe.margins:
        return Canvas(_grown(image, margins_of(recipe)), _margin_mask(size, margins_of(recipe)))
    return Canvas(image, mask)


def source_of(sources: Sources, id: str) -> Image.Image:
    """Raises BadRecipe when the picture was not handed over."""
    if id not in sources:
        raise BadRecipe(f"The picture {id[:8]} is not at hand.", "Draw with the library it is in.")
    return sources[id]


def on_white(image: Image.Image) -> Image.Image:
    """As RGB; what is transparent shows white."""
    from PIL import Image

    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")


def margins_of(recipe: Recipe) -> tuple[int, int, int, int]:
    """Pixels at the left, top, right and bottom."""
    left, top, right, bottom = map(int, (recipe.margins or "0,0,0,0").split(","))
    return left, top, right, bottom


def is_cropped_alone(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a picture comes to a size without being scaled: too little of it is lost."""
    return all(0 <= own - wanted < _LITTLE for own, wanted in zip(source, size, strict=True))


def _placed(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the picture, as large as it can be; where little is missing, unscaled."""
    from PIL import Image, ImageOps

    if is_cropped_alone(image.size, size):
        corner = (image.width - size[0]) // 2, (image.height - size[1]) // 2
        return image.crop((*corner, corner[0] + size[0], corner[1] + size[1]))
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _mask(
    recipe: Recipe, sources: Sources, source: tuple[int, int], size: tuple[int, int]
) -> Image.Image | None:
    """White where the picture is drawn anew; of a picture with transparency, where it has that."""
    from PIL import Image

    if recipe.mask is None:
        return None
    given = source_of(sources, recipe.mask)
    grey = given.getchannel("A").point(_inverted) if given.mode == "RGBA" else given.convert("L")
    mask = _placed(grey.resize(source, Image.Resampling.BILINEAR), size).point(_cleaned)
    if mask.getbbox() is None:
        raise BadRecipe(
            "The mask leaves nothing to draw: no pixel of it is white.",
            "Paint white what is to be drawn anew, black what is to stay.",
        )
    return mask


def _inverted(value: int) -> int:
    return 255 - value


def _cleaned(value: int) -> int:
    return 0 if value < _BLACK else 255 if value > _WHITE else value


def _grown(image: Image.Image, margins: tuple[int, int, int, int]) -> Image.Image:
    """The picture with its edges drawn out."""
    import numpy as np
    from PIL import Image

    left, top, right, bottom = margins
    wider = ((top, bottom), (left, right), (0, 0))
    return Image.fromarray(np.pad(np.asarray(image), wider, mode="edge"))


def _margin_mask(size: tuple[int, int], margins: tuple[int, int, int, int]) -> Image.Image:
    from PIL import Image

    left, top, right, bottom = margins
    mask = Image.new("L", (size[0] + left + right, size[1] + top + bottom), 255)
    mask.paste(0, (left, top, left + size[0], top + size[1]))
    return mask


def _faded(mask: Image.Image) -> Image.Image:
    """The mask, rising from its edge inwards; black stays black."""
    import numpy as np
    from PIL import Image, ImageFilter

    width = max(1, min(_FADE, min(mask.size) // 64))
    layers = [mask]
    for _ in range(width):
        layers.append(layers[-1].filter(ImageFilter.MinFilter(3)))
    mean = np.mean([np.asarray(layer, np.float32) for layer in layers], axis=0)
    return Image.fromarray(np.round(mean).astype(np.uint8))
