"""Encoding: a canvas becomes the latents that drawing begins from; the inverse of decoding.

Shapes: latents (1, channels, height / cell, width / cell); the mask's (1, 1, height / cell,
width / cell), 1 where the latent is drawn anew. Knows nothing of noise or steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.generate.canvas import Canvas
    from sovgen.models.model import Model


@dataclass(frozen=True)
class Ground:
    """A canvas as latents, float32, on the model's device."""

    latents: Tensor
    mask: Tensor | None


def encode_canvas(model: Model, canvas: Canvas) -> Ground:
    """The latents of the canvas; every cell that the mask touches is drawn anew."""
    mask = None if canvas.mask is None else _cells(model, canvas.mask)
    return Ground(encode(model, canvas.image), mask)


def encode(model: Model, image: Image.Image) -> Tensor:
    """The most likely latent of an RGB picture whose sides are on the model's grid."""
    import torch

    vae = model.pipe.vae
    with torch.inference_mode():
        pixels = model.pipe.image_processor.preprocess(image)
        encoded = vae.encode(pixels.to(model.device, vae.dtype))
        return _scaled(vae.config, _latent(encoded).float())


def _latent(encoded: Any) -> Any:  # noqa: ANN401 - diffusers' autoencoders answer in three ways
    for name in ("latents", "latent"):
        if hasattr(encoded, name):
            return getattr(encoded, name)
    return encoded.latent_dist.mode()


def _scaled(config: object, latent: Tensor) -> Tensor:
    """The latent as the denoiser was trained on it; the inverse of `decoding`'s."""
    scale = float(getattr(config, "scaling_factor", 1.0) or 1.0)
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is None or std is None:
        return (latent - float(getattr(config, "shift_factor", 0.0) or 0.0)) * scale
    shape = (1, latent.shape[1], 1, 1)
    mean, std = latent.new_tensor(mean).view(shape), latent.new_tensor(std).view(shape)
    return (latent - mean) * scale / std


def _cells(model: Model, mask: Image.Image) -> Tensor:
    import numpy as np
    import torch

    white = torch.from_numpy(np.asarray(mask) > 0).float()[None, None]
    return torch.nn.functional.max_pool2d(white, model.cell).to(model.device)
