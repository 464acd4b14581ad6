"""Which family an addition is for, told by the width of the text states that it was made for.

Widths are those of the real models; knows no files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sovgen.errors import ModelUnsupported

if TYPE_CHECKING:
    from sovgen.models.model import Model

OF_WIDTH = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}


def refuse_other_family(title: str, name: str, width: int, model: Model) -> None:
    """Raise ModelUnsupported when the model's text states have another width.

    title: such as `a LoRA`
    """
    own = int(model.pipe.unet.config.cross_attention_dim)
    if width == own:
        return
    theirs = OF_WIDTH.get(width, "a model")
    raise ModelUnsupported(
        f"{name} is {title} for {theirs}, with text states {width} wide; "
        f"{model.name} is {model.family}, {own} wide.",
        f"Draw with {theirs if width in OF_WIDTH else 'the model it was made for'}, or choose "
        f"{title} made for {model.family}.",
    )


def refuse_without_unet(title: str, names: Iterable[str], model: Model) -> None:
    """Raise ModelUnsupported for a model whose denoiser is no U-Net."""
    if getattr(model.pipe, "unet", None) is None:
        raise ModelUnsupported(
            f"{', '.join(names)}: {title} cannot be given to a {model.family} model.",
            f"Draw with {', '.join(OF_WIDTH.values())}.",
        )
