"""A ControlNet as a single file: its configuration, worked out from its tensors.

By the names of its authors (`control_model.zero_convs...`) or by those of diffusers. What shapes
do not tell is as in the denoiser that it was made for. Knows nothing of whether it fits a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sovgen.errors import ModelUnsupported
from sovgen.models import shapes
from sovgen.models.additions.addition import Addition
from sovgen.models.shapes import Shapes
from sovgen.models.weights import read_header

_PREFIX = "control_model."
_CROSS = re.compile(r"attn2\.to_k\.weight$")
# Other things that go by the name, by a piece of their keys.
_OTHERS = {
    "lllite_": "a Control-LLLite",
    "lora_controlnet": "a Control-LoRA",
    "control_add_embedding": "a ControlNet for several kinds of pictures",
    "transformer_blocks.0.norm1_context": "a ControlNet for Stable Diffusion 3 or FLUX.1",
    "controlnet_x_embedder": "a ControlNet for FLUX.1",
}


def read_control(control: Addition) -> dict[str, Any]:
    """`ControlNetModel`'s configuration as far as the tensors say it.

    Raises ModelUnsupported for what is no plain ControlNet of a U-Net.
    """
    stored = read_header(control.files[0]).tensors
    for piece, what in _OTHERS.items():
        if any(piece in name for name in stored):
            raise ModelUnsupported(
                f"{control.name} is {what}, which sovgen cannot use.",
                "It takes plain ControlNets for Stable Diffusion 1.x, 2.x and XL.",
            )
    tensors = {name.removeprefix(_PREFIX): tensor.shape for name, tensor in stored.items()}
    try:
        config = _original(tensors) if "time_embed.0.weight" in tensors else _converted(tensors)
    except (KeyError, IndexError) as error:
        raise ModelUnsupported(
            f"{control.name} lacks {error}: its keys are neither the original ones nor diffusers'.",
            "Give it as a diffusers folder, with its config.json.",
        ) from error
    return {"_class_name": "ControlNetModel", **config}


def _original(tensors: Shapes) -> dict[str, Any]:
    told = shapes.denoiser({**tensors, "out.2.weight": tensors["input_blocks.0.0.weight"][1:]})
    hints = (tensors[f"input_hint_block.{at}.weight"][0] for at in (0, 4, 8, 12))
    kept = {name: value for name, value in told.items() if not name.startswith(("up_", "out_"))}
    return {**kept, "conditioning_embedding_out_channels": list(hints)}


def _converted(tensors: Shapes) -> dict[str, Any]:
    levels = shapes.count(tensors, r"down_blocks\.(\d+)\.")
    first, hint = "down_blocks.{}.resnets.0.conv1.weight", "controlnet_cond_embedding."
    crosses = [shape[1] for name, shape in tensors.items() if _CROSS.search(name)]
    places = ("conv_in", "blocks.1", "blocks.3", "blocks.5")
    return {
        "in_channels": tensors["conv_in.weight"][1],
        "block_out_channels": [tensors[first.format(level)][0] for level in range(levels)],
        "cross_attention_dim": crosses[0],
        "conditioning_embedding_out_channels": [tensors[f"{hint}{p}.weight"][0] for p in places],
    }


def completed(told: Mapping[str, Any], unet: Any) -> dict[str, Any]:  # noqa: ANN401
    """With what the denoiser's configuration says beside it."""
    import inspect

    from diffusers import ControlNetModel

    takes = inspect.signature(ControlNetModel.__init__).parameters
    own = {n: v for n, v in dict(unet.config).items() if n in takes and not n.startswith("_")}
    return {**own, **told}
