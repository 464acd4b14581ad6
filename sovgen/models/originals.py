"""Originals: how each family's single file names its parts.

A table's row for each: where its parts begin, what tells it from the others, and how a part's
configuration is read off its tensors. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sovgen.models import shapes, transformer_shapes
from sovgen.models.families import FLUX, SD, SD3, SDXL, SDXL_REFINER
from sovgen.models.family import Family
from sovgen.models.shapes import Shapes

UNET, VAE = "model.diffusion_model.", "first_stage_model."
VAES = ("vae.", VAE)
T5 = "text_encoders.t5xxl.transformer."
Reader = Callable[[Shapes], dict[str, Any]]


@dataclass(frozen=True)
class Original:
    """One family's layout.

    configs: the name of the file in `families/` that holds what shapes cannot tell
    prefixes: how the names of each part's tensors begin, the usual one first
    tells: tensors of that beginning are in this family's denoiser alone; none where the towers tell
    spare: parts that a file may leave out
    """

    kind: Family
    configs: str
    prefixes: Mapping[str, tuple[str, ...]]
    readers: Mapping[str, Reader]
    tells: str = ""
    spare: frozenset[str] = frozenset()


def _open_clip(tensors: Shapes) -> dict[str, Any]:
    return shapes.open_clip_tower(tensors, whole=True)


def _open_clip_but_one(tensors: Shapes) -> dict[str, Any]:
    return shapes.open_clip_tower(tensors, whole=False)


def _clip_projected(tensors: Shapes) -> dict[str, Any]:
    return transformer_shapes.projected(shapes.clip_tower(tensors), tensors)


_UNET = {"unet": (UNET,), "vae": (VAE,)}
_UNET_READERS: Mapping[str, Reader] = {"unet": shapes.denoiser, "vae": shapes.autoencoder}
_CLIP_L = "text_encoders.clip_l.transformer."
_CLIP_G = "text_encoders.clip_g.transformer."

ORIGINALS = (
    Original(
        kind=SD,
        configs="sd1",
        prefixes=_UNET | {"text_encoder": ("cond_stage_model.transformer.",)},
        readers={**_UNET_READERS, "text_encoder": shapes.clip_tower},
    ),
    Original(
        kind=SD,
        configs="sd2",
        prefixes=_UNET | {"text_encoder": ("cond_stage_model.model.",)},
        readers={**_UNET_READERS, "text_encoder": _open_clip_but_one},
    ),
    Original(
        kind=SDXL,
        configs="sdxl",
        prefixes=_UNET
        | {
            "text_encoder": ("conditioner.embedders.0.transformer.",),
            "text_encoder_2": ("conditioner.embedders.1.model.",),
        },
        readers={
            **_UNET_READERS,
            "text_encoder": shapes.clip_tower,
            "text_encoder_2": _open_clip,
        },
    ),
    Original(
        kind=SDXL_REFINER,
        configs="refiner",
        prefixes=_UNET | {"text_encoder_2": ("conditioner.embedders.0.model.",)},
        readers={**_UNET_READERS, "text_encoder_2": _open_clip},
    ),
    Original(
        kind=SD3,
        configs="sd3",
        prefixes={
            "transformer": (UNET,),
            "vae": (VAE,),
            "text_encoder": (_CLIP_L,),
            "text_encoder_2": (_CLIP_G,),
            "text_encoder_3": (T5,),
        },
        readers={
            "transformer": transformer_shapes.sd3_denoiser,
            "vae": shapes.autoencoder,
            "text_encoder": _clip_projected,
            "text_encoder_2": _clip_projected,
            "text_encoder_3": transformer_shapes.t5_tower,
        },
        tells="joint_blocks.",
        spare=frozenset(("text_encoder_3",)),
    ),
    Original(
        kind=FLUX,
        configs="flux",
        prefixes={
            "transformer": (UNET,),
            "vae": (VAE, "vae."),
            "text_encoder": (_CLIP_L,),
            "text_encoder_2": (T5,),
        },
        readers={
            "transformer": transformer_shapes.flux_denoiser,
            "vae": shapes.autoencoder,
            "text_encoder": shapes.clip_tower,
            "text_encoder_2": transformer_shapes.t5_tower,
        },
        tells="double_blocks.",
    ),
)
