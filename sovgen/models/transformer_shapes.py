"""The configurations of SD 3's and FLUX's denoisers and of a T5, worked out from their tensors.

Tensors are named as in their authors' own code, without the prefix of the part. `shapes` does the
same for the older families.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sovgen.models.shapes import Shapes, count

_SD3_HEAD, _FLUX_HEAD = 64, 128


def sd3_denoiser(shapes: Shapes) -> dict[str, Any]:
    """`SD3Transformer2DModel`'s configuration. Raises KeyError when a tensor is not there."""
    inner, channels, patch, _ = shapes["x_embedder.proj.weight"]
    layers = count(shapes, r"joint_blocks\.(\d+)\.")
    dual = [n for n in range(layers) if f"joint_blocks.{n}.x_block.attn2.qkv.weight" in shapes]
    return {
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "patch_size": patch,
        "num_layers": layers,
        "num_attention_heads": inner // _SD3_HEAD,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": shapes["context_embedder.weight"][0],
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "qk_norm": "rms_norm" if any(".ln_q." in name for name in shapes) else None,
        "dual_attention_layers": dual,
    }


def flux_denoiser(shapes: Shapes) -> dict[str, Any]:
    """`FluxTransformer2DModel`'s configuration. Raises KeyError when a tensor is not there."""
    inner, channels = shapes["img_in.weight"]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, r"double_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"single_blocks\.(\d+)\."),
        "num_attention_heads": inner // _FLUX_HEAD,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
    }


def t5_tower(shapes: Shapes) -> dict[str, Any]:
    """`T5Config`'s values. Raises KeyError when a tensor is not there."""
    vocabulary, width = shapes["shared.weight"]
    first = "encoder.block.0.layer.0.SelfAttention."
    buckets, heads = shapes[f"{first}relative_attention_bias.weight"]
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": shapes[f"{first}q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "num_layers": count(shapes, r"encoder\.block\.(\d+)\."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
    }


def projected(tower: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """A CLIP tower's configuration with the width that its own projection has, if there is one."""
    own = shapes.get("text_projection.weight")
    return {**tower, "projection_dim": own[0] if own else tower["hidden_size"]}
