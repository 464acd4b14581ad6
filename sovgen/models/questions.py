"""Questions: what each family's denoiser is asked at one step, as shapes on torch's meta device.

Nothing is computed and nothing takes memory; `footprint` counts what an answer would take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sovgen.models.families import FLUX, PIXART, SANA, SD, SD3, SDXL
from sovgen.models.layout import Layout

if TYPE_CHECKING:
    import torch


def question(
    layout: Layout, pictures: int, width: int, height: int, dtype: torch.dtype
) -> dict[str, Any]:
    """The arguments of the denoiser's `forward`, for so many pictures of so many pixels."""
    rows = pictures * (2 if layout.guidance == "free" else 1)
    asked = _ASKED[layout.kind.pipeline]
    return asked(layout, rows, width // layout.cell, height // layout.cell, _blank(dtype))


Blank = Callable[..., "torch.Tensor"]


def _blank(dtype: torch.dtype) -> Blank:
    import torch

    return lambda *shape: torch.empty(shape, dtype=dtype, device="meta")


def _unet(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    config = layout.denoiser
    width = config["cross_attention_dim"]
    return {
        "sample": blank(rows, config.get("in_channels", 4), down, across),
        "timestep": blank(rows),
        "encoder_hidden_states": blank(rows, next(iter(layout.tokens.values())), width),
    }


def _unet_xl(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    pooled = layout.configs["text_encoder_2"]["projection_dim"]
    sizes = 6 if layout.kind.scores is None else 5
    added = {"text_embeds": blank(rows, pooled), "time_ids": blank(rows, sizes)}
    return {**_unet(layout, rows, across, down, blank), "added_cond_kwargs": added}


def _sd3(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    config = layout.denoiser
    tokens = layout.tokens["text_encoder"] + 256
    return {
        "hidden_states": blank(rows, config["in_channels"], down, across),
        "timestep": blank(rows),
        "encoder_hidden_states": blank(rows, tokens, config["joint_attention_dim"]),
        "pooled_projections": blank(rows, config["pooled_projection_dim"]),
    }


def _flux(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    config = layout.denoiser
    cells, tokens = across * down // layout.kind.packed**2, layout.tokens["text_encoder_2"]
    return {
        "hidden_states": blank(rows, cells, config["in_channels"]),
        "timestep": blank(rows),
        "guidance": blank(rows) if config["guidance_embeds"] else None,
        "pooled_projections": blank(rows, config["pooled_projection_dim"]),
        "encoder_hidden_states": blank(rows, tokens, config["joint_attention_dim"]),
        "txt_ids": blank(tokens, 3),
        "img_ids": blank(cells, 3),
    }


def _masked(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    config, tokens = layout.denoiser, layout.tokens["text_encoder"]
    return {
        "hidden_states": blank(rows, config["in_channels"], down, across),
        "timestep": blank(rows),
        "encoder_hidden_states": blank(rows, tokens, config["caption_channels"]),
        "encoder_attention_mask": blank(rows, tokens),
    }


def _pixart(layout: Layout, rows: int, across: int, down: int, blank: Blank) -> dict[str, Any]:
    added = {"resolution": None, "aspect_ratio": None}
    return {**_masked(layout, rows, across, down, blank), "added_cond_kwargs": added}


_ASKED: Mapping[str, Callable[[Layout, int, int, int, Blank], dict[str, Any]]] = {
    SD.pipeline: _unet,
    SDXL.pipeline: _unet_xl,
    SD3.pipeline: _sd3,
    FLUX.pipeline: _flux,
    PIXART.pipeline: _pixart,
    SANA.pipeline: _masked,
}
