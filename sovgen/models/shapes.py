"""Shapes: the configuration of a denoiser, decoder or text tower, worked out from its tensors.

Tensors are named as in the original code of Stable Diffusion and OpenCLIP, without the prefix of
the part. What shapes cannot tell (activations, heads of SD 1.x, scaling) comes from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

# SD 2.x, SDXL and every CLIP text tower use heads of this width.
_HEAD = 64
# SD 2.x leaves the last of OpenCLIP's 24 layers out.
_SD2_LAYERS = 23


def denoiser(shapes: Shapes) -> dict[str, Any]:
    """`UNet2DConditionModel`'s configuration. Raises KeyError when a tensor is not there."""
    levels = _levels(shapes)
    channels = [_channels(shapes, blocks[0]) for blocks in levels]
    depths = [_depth(shapes, f"input_blocks.{blocks[0]}.1.") for blocks in levels]
    linear = len(shapes["middle_block.1.proj_in.weight"]) == 2
    config: dict[str, Any] = {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": len(levels[0]),
        "down_block_types": ["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if d else "UpBlock2D" for d in depths[::-1]],
        "transformer_layers_per_block": [depth or 1 for depth in depths],
        "cross_attention_dim": shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        "use_linear_projection": linear,
    }
    # The middle block is as deep as the lowest level, which may itself have no attention.
    config["transformer_layers_per_block"][-1] = _depth(shapes, "middle_block.1.")
    if linear:
        config["attention_head_dim"] = [max(1, width // _HEAD) for width in channels]
    if "label_emb.0.0.weight" in shapes:
        config["projection_class_embeddings_input_dim"] = shapes["label_emb.0.0.weight"][1]
    return config


def autoencoder(shapes: Shapes) -> dict[str, Any]:
    """`AutoencoderKL`'s configuration. Raises KeyError when a tensor is not there."""
    levels = count(shapes, r"encoder\.down\.(\d+)\.")
    first_conv = "encoder.down.{}.block.0.conv1.weight"
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": [shapes[first_conv.format(level)][0] for level in range(levels)],
        "layers_per_block": count(shapes, r"encoder\.down\.0\.block\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
    }


def clip_tower(shapes: Shapes) -> dict[str, Any]:
    """`CLIPTextModel`'s configuration from transformers' names, which begin with `text_model.`."""
    embeddings, layer = "text_model.embeddings.", "text_model.encoder.layers.0."
    vocabulary, width = shapes[f"{embeddings}token_embedding.weight"]
    return _tower(
        vocabulary,
        width,
        positions=shapes[f"{embeddings}position_embedding.weight"][0],
        layers=count(shapes, r"text_model\.encoder\.layers\.(\d+)\."),
        inner=shapes[f"{layer}mlp.fc1.weight"][0],
        projection=width,
    )


def open_clip_tower(shapes: Shapes, *, whole: bool) -> dict[str, Any]:
    """The same from OpenCLIP's names; SD 2.x's tower is not `whole`: its last layer is unused."""
    vocabulary, width = shapes["token_embedding.weight"]
    layers = count(shapes, r"transformer\.resblocks\.(\d+)\.")
    return _tower(
        vocabulary,
        width,
        positions=shapes["positional_embedding"][0],
        layers=layers if whole else min(layers, _SD2_LAYERS),
        inner=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        projection=shapes.get("text_projection", (width, width))[1],
    )


def _tower(
    vocabulary: int, width: int, *, positions: int, layers: int, inner: int, projection: int
) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": inner,
        "projection_dim": projection,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }


def _levels(shapes: Shapes) -> list[list[int]]:
    """The numbers of the input blocks of each level; a downsampling block ends one."""
    levels: list[list[int]] = [[]]
    for number in range(1, count(shapes, r"input_blocks\.(\d+)\.")):
        if f"input_blocks.{number}.0.op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(number)
    return levels


def _channels(shapes: Shapes, block: int) -> int:
    return shapes[f"input_blocks.{block}.0.out_layers.3.weight"][0]


def _depth(shapes: Shapes, prefix: str) -> int:
    """How many transformer blocks stand under the prefix; 0 is no attention."""
    return count(shapes, rf"{re.escape(prefix)}transformer_blocks\.(\d+)\.")


def count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest number that the pattern finds at the start of a name."""
    begins = re.compile(pattern)
    return 1 + max((int(m[1]) for name in shapes if (m := begins.match(name))), default=-1)
