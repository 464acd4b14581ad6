"""The text encoders of a loaded pipeline, so that they can be compared with a library's CLIP.

Knows the pipeline's parts by name; knows nothing of libraries.
"""

from __future__ import annotations

from typing import Any

TOWERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def text_towers(pipe: Any) -> list[Any]:  # noqa: ANN401 - diffusers' pipelines share no typed base
    """Every text encoder of the pipeline, in its own order."""
    return [tower for name in TOWERS if (tower := getattr(pipe, name, None)) is not None]
