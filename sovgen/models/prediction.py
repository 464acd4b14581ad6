"""What a denoiser predicts, found by asking it.

SD 2.x comes in two kinds whose tensors have the same names and shapes: one predicts the noise
(epsilon), the other the velocity. At the last timestep a latent is almost only noise, so the first
kind gives back nearly what it was given, and the second something else. Knows no files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sovgen.models.layout import Layout

_LAST_TIMESTEP = 999
_EPSILON_SIDE = 512


def is_open(layout: Layout) -> bool:
    """Whether the file leaves open what its denoiser predicts."""
    is_unet = layout.kind.denoiser == "unet"
    return layout.is_file and is_unet and "prediction_type" not in layout.configs["scheduler"]


def closed(layout: Layout, pipe: Any) -> Layout:  # noqa: ANN401
    """The layout with what the denoiser turned out to predict; the pipeline's scheduler likewise.

    The kind that predicts noise was trained at 512 pixels.
    """
    kind = "v_prediction" if predicts_velocity(pipe.unet, _empty_text(pipe)) else "epsilon"
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type=kind)
    configs = {name: dict(config) for name, config in layout.configs.items()}
    configs["scheduler"]["prediction_type"] = kind
    if kind == "epsilon":
        configs["unet"]["sample_size"] = _EPSILON_SIDE // layout.cell
    return replace(layout, configs=configs)


def _empty_text(pipe: Any) -> Any:  # noqa: ANN401
    """States of no words, as drawing without guidance gives them: (1, tokens, width)."""
    import torch

    with torch.inference_mode():
        return pipe.encode_prompt("", pipe.unet.device, 1, False)[0]


def predicts_velocity(unet: Any, texts: Any) -> bool:  # noqa: ANN401
    """Whether the noise in a latent of nothing else is hardly found in the answer.

    texts: states (1, tokens, width) as the denoiser learnt with; of others its answer says nothing
    """
    import torch

    config = unet.config
    shape = (1, config.in_channels, 16, 16)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(
        unet.device, unet.dtype
    )
    texts = texts.to(unet.device, unet.dtype)
    with torch.inference_mode():
        answer = unet(noise, _LAST_TIMESTEP, encoder_hidden_states=texts, return_dict=False)[0]
    noise = noise[:, : answer.shape[1]]
    noise = noise.float()
    found = (answer.float() * noise).mean() / noise.square().mean()
    return bool(found < 0.5)
