"""Decoding: latents become pixels; scaling and shift are hidden here.

Each latent is decoded alone, so that decoding takes the memory of one picture. Knows nothing of
how the latent came about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovgen.errors import BrokenPicture

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.models.model import Model


def decode(model: Model, latents: Tensor) -> list[Image.Image | BrokenPicture]:
    """An RGB picture for each latent, or what is wrong with it: NaN, or nothing but black."""
    import torch

    with torch.inference_mode():
        return [_decode_one(model, latent.unsqueeze(0)) for latent in latents]


def _decode_one(model: Model, latent: Tensor) -> Image.Image | BrokenPicture:
    vae = model.pipe.vae
    decoded = vae.decode(_unscaled(vae.config, latent).to(vae.dtype), return_dict=False)[0].float()
    if not decoded.isfinite().all():
        return _broken("The model gave values that are no numbers.", model)
    image: Image.Image = model.pipe.image_processor.postprocess(decoded, output_type="pil")[0]
    if image.getbbox() is None:
        return _broken("The model gave nothing but black.", model)
    return image.convert("RGB")


def _unscaled(config: object, latent: Tensor) -> Tensor:
    """The latent as the decoder was trained on it."""
    scale = float(getattr(config, "scaling_factor", 1.0) or 1.0)
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is None or std is None:
        return latent / scale + float(getattr(config, "shift_factor", 0.0) or 0.0)
    shape = (1, latent.shape[1], 1, 1)
    return latent * latent.new_tensor(std).view(shape) / scale + latent.new_tensor(mean).view(shape)


def _broken(what: str, model: Model) -> BrokenPicture:
    other = "float32" if model.dtype != "float32" else "another sampler or other steps"
    return BrokenPicture(what, f"Try {'--dtype ' if other == 'float32' else ''}{other}.")
