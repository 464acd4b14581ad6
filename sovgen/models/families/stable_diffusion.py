"""Stable Diffusion 1.x, 2.x, XL and its refiner: a U-Net, an autoencoder, CLIP text towers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sovgen.models.family import CLIP_TOKENIZERS, CLIP_TOWERS, KL, Configs, Family, Guidance

_UNET = frozenset(("UNet2DConditionModel",))
_ONE_TOWER = {
    "unet": _UNET,
    "vae": KL,
    "text_encoder": CLIP_TOWERS,
    "tokenizer": CLIP_TOKENIZERS,
}
_TWO_TOWERS = _ONE_TOWER | {"text_encoder_2": CLIP_TOWERS, "tokenizer_2": CLIP_TOKENIZERS}
_FEW = (4, 1.0)
# The schedulers of consistency models.
_CONSISTENT = ("LCMScheduler", "TCDScheduler")


def _title(configs: Configs) -> str:
    # Within one pipeline class, only SD 2.x projects its attention by matrices.
    linear = configs["unet"].get("use_linear_projection")
    return "Stable Diffusion 2.x" if linear else "Stable Diffusion 1.x"


def _guidance(configs: Configs) -> Guidance:
    # Consistency models learnt the scale along with the time.
    return "embedded" if configs["unet"].get("time_cond_proj_dim") else "free"


def _unless_few(steps: int, guidance: float) -> Callable[[Configs], tuple[int, float]]:
    """The usual defaults, but a handful of steps for weights that were distilled to them.

    Turbo and Lightning space their steps from the end. So do models of zero terminal SNR, which
    say that they rescale their betas.
    """

    def defaults(configs: Configs) -> tuple[int, float]:
        if _guidance(configs) == "embedded":
            return 4, 8.5
        scheduler = configs["scheduler"]
        trailing = scheduler.get("timestep_spacing") == "trailing"
        few = trailing and not scheduler.get("rescale_betas_zero_snr")
        return _FEW if few or scheduler.get("_class_name") in _CONSISTENT else (steps, guidance)

    return defaults


def _encoding(configs: Configs, negative: bool) -> Mapping[str, Any]:
    return {"do_classifier_free_guidance": False}


SD = Family(
    pipeline="StableDiffusionPipeline",
    aliases=(
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "LatentConsistencyModelPipeline",
    ),
    denoiser="unet",
    parts=_ONE_TOWER,
    title=_title,
    defaults=_unless_few(25, 7.0),
    guidance=_guidance,
    encoding=_encoding,
    aligned="StableDiffusionSigmas",
)
# diffusers' pipeline of the base model drives it, too: of the two towers it lacks the first.
SDXL_REFINER = Family(
    pipeline="StableDiffusionXLPipeline",
    denoiser="unet",
    parts={
        "unet": _UNET,
        "vae": KL,
        "text_encoder_2": CLIP_TOWERS,
        "tokenizer_2": CLIP_TOKENIZERS,
    },
    title=lambda configs: "Stable Diffusion XL refiner",
    defaults=_unless_few(30, 5.0),
    guidance=_guidance,
    encoding=_encoding,
    second="pooled",
    side=128,
    scores=(6.0, 2.5),
    begins=False,
    aligned="StableDiffusionXLSigmas",
)
SDXL = Family(
    pipeline="StableDiffusionXLPipeline",
    aliases=(
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    ),
    denoiser="unet",
    parts=_TWO_TOWERS,
    title=lambda configs: "Stable Diffusion XL",
    defaults=_unless_few(30, 5.0),
    guidance=_guidance,
    encoding=_encoding,
    second="pooled",
    aligned="StableDiffusionXLSigmas",
)
