"""sovgen: private image generation with a memory.

    from sovgen import Recipe, Studio

    studio = Studio("pictures")
    for made in studio.make(Recipe("a red fox", seed=7)):
        print(made.path)

Names are loaded when they are first used, so importing the package costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from sovgen.spinning import spare_others

# numpy embeds texts, a few small products at a time. A team of BLAS threads brings them nothing on
# an idle machine and takes ten times as long on a busy one, where it also fights with the drawing.
# Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
spare_others()

if TYPE_CHECKING:
    from sovgen.errors import SovgenError
    from sovgen.picture import Picture
    from sovgen.recipe import Recipe
    from sovgen.studio import Made, Studio

__all__ = ["Made", "Picture", "Recipe", "SovgenError", "Studio"]

_HOME = {
    "Made": "sovgen.studio",
    "Picture": "sovgen.picture",
    "Recipe": "sovgen.recipe",
    "SovgenError": "sovgen.errors",
    "Studio": "sovgen.studio",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'sovgen' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
