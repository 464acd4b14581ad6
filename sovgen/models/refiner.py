"""Refiners: models that take over from another one before its picture is finished.

SDXL's refiner, or any model of the same latent. Knows nothing of recipes or steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovgen.errors import ModelUnsupported
from sovgen.models.load import load_model

if TYPE_CHECKING:
    from sovgen.models.model import Model

# What a latent's numbers mean, by the autoencoder's configuration.
_LATENT = ("latent_channels", "scaling_factor", "shift_factor")


def refiner_of(model: Model, source: str) -> Model:
    """The model of that name or at that path, loaded beside `model` and kept with it.

    Raises what `load_model` raises, and ModelUnsupported when the two cannot work on one latent.
    """
    if source not in model.refiners:
        loaded = load_model(source, model.device, model.dtype, folders=model.folders)
        _refuse_other_latent(model, loaded)
        model.refiners[source] = model.refiners[loaded.name] = loaded
    return model.refiners[source]


def _refuse_other_latent(model: Model, refiner: Model) -> None:
    for one in (model, refiner):
        if one.kind.denoiser != "unet" or one.guidance != "free":
            raise ModelUnsupported(
                f"{one.name} ({one.family}) hands no picture on before it is finished.",
                "A refiner works for Stable Diffusion 1.x, 2.x and XL.",
            )
    if refiner.takes_mask:
        raise ModelUnsupported(
            f"{refiner.name} is made for inpainting: it cannot refine.", "Choose another refiner."
        )
    theirs, ours = (_latent(one) for one in (refiner, model))
    if theirs != ours:
        raise ModelUnsupported(
            f"The latent of {refiner.name} ({refiner.family}) is not that of {model.name} "
            f"({model.family}): {_told(theirs)} and {_told(ours)}.",
            "The refiner of SDXL refines what SDXL models draw.",
        )


def _latent(model: Model) -> tuple[object, ...]:
    config = model.configs["vae"]
    return (model.cell, *(config.get(name) for name in _LATENT))


def _told(latent: tuple[object, ...]) -> str:
    cell, channels, scale, _ = latent
    return f"{channels} channels in cells of {cell} pixels, scaled by {scale}"
