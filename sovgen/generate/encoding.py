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
    """A canvas as latents, float32, on the model's device.

    around: the same with grey in place of what is drawn anew, for a model that is shown that
    """

    latents: Tensor
    mask: Tensor | None
    around: Tensor | None = None


def encode_canvas(model: Model, canvas: Canvas) -> Ground:
    """The latents of the canvas; every cell that the mask touches is drawn anew."""
    if canvas.mask is None:
        return Ground(encode(model, canvas.image), None)
    around = encode(model, _greyed(canvas.image, canvas.mask)) if model.takes_mask else None
    return Ground(encode(model, canvas.image), _cells(model, canvas.mask), around)


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


def _greyed(image: Image.Image, mask: Image.Image) -> Image.Image:
    from PIL import Image

    grey = Image.new("RGB", image.size, (128, 128, 128))
    return Image.composite(grey, image, mask.point(_all_or_nothing))


def _all_or_nothing(value: int) -> int:
    return 255 if value else 0


def _cells(model: Model, mask: Image.Image) -> Tensor:
    import numpy as np
    import torch

    white = torch.from_numpy(np.asarray(mask) > 0).float()[None, None]
    return torch.nn.functional.max_pool2d(white, model.cell).to(model.device)
