"""The safety checker that some models bring: loaded only when asked for.

It judges, it never paints: diffusers' own way of blackening a picture is not taken over. Knows the
folder it lies in; knows nothing of recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sovgen.errors import ModelUnsupported
from sovgen.models.families import SD
from sovgen.models.layout import Layout
from sovgen.models.weights import find_weights

if TYPE_CHECKING:
    from PIL import Image

CHECKER, EXTRACTOR = "safety_checker", "feature_extractor"


def load_checker(layout: Layout) -> dict[str, Any]:
    """The two parts of a pipeline that judge pictures, by their names in it.

    Raises ModelUnsupported when the model brings none, UnsafeWeights when it is a pickle.
    """
    folder, extractor = layout.path / CHECKER, layout.path / EXTRACTOR
    if layout.kind is not SD or not (folder.is_dir() and extractor.is_dir()):
        raise ModelUnsupported(
            f"{layout.path.name} brings no safety checker.", "Draw without --safety."
        )
    find_weights(folder)
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    checker = StableDiffusionSafetyChecker.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True
    )
    processor = CLIPImageProcessor.from_pretrained(str(extractor), local_files_only=True)
    return {CHECKER: checker, EXTRACTOR: processor}


def judge(pipe: Any, images: list[Image.Image]) -> list[str]:  # noqa: ANN401
    """`safe` or `flagged` for each picture, which is left as it is."""
    import numpy as np
    import torch

    clip = pipe.feature_extractor(images, return_tensors="pt").pixel_values
    weight = next(pipe.safety_checker.parameters())
    # The checker blackens what it is given, so it is given something that nobody looks at.
    blank = np.zeros((len(images), 1, 1, 3), dtype=np.float32)
    with torch.inference_mode():
        _, flagged = pipe.safety_checker(
            images=blank, clip_input=clip.to(weight.device, weight.dtype)
        )
    return ["flagged" if flag else "safe" for flag in flagged]
