"""Where the data that travels with the package lies: the bundled model, vocabulary, prompts.

Knows the two places the folder can be in; knows nothing of what its files mean.
"""

from __future__ import annotations

from pathlib import Path

BUNDLED = "sovgen-mini"


def data_folder() -> Path:
    """The packaged data: `index/_data` in an installed wheel, `data` in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "_data"
    return installed if installed.is_dir() else here.parent / "data"


def bundled_model() -> Path:
    """The folder of the bundled model, in diffusers' layout."""
    return data_folder() / "models" / BUNDLED
