"""Adapter: low-rank additions to a frozen denoiser, and the two kinds of file that hold them.

    W x  becomes  W x + (alpha / r) B A x,   A (r, in), B (out, r), B = 0 at first

FOLDER/pytorch_lora_weights.safetensors is diffusers' PEFT format, read by `load_lora_weights`;
FOLDER/NAME.safetensors has kohya's keys, read by A1111, ComfyUI and others.
Source: Hu et al. 2021 (LoRA), arXiv:2106.09685.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from sovgen.train.parts import Unet, write_part

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CONVOLUTIONS = ("conv1", "conv2", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
WEIGHTS = "pytorch_lora_weights.safetensors"


def add_adapter(unet: Unet, rank: int, layers: Sequence[str], seed: int) -> None:
    """Freezes the denoiser and gives those layers a trainable addition, float32, drawn by seed."""
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(layers)
        )
    )
    for p in unet.parameters():
        if p.requires_grad:
            p.data = p.data.float()


def write_adapter(unet: Unet, folder: Path, name: str, samples: int, trained_on: str) -> None:
    """FOLDER/NAME/ with both kinds of file, fp16, whole or not at all. Raises NoRoom."""
    peft = get_peft_model_state_dict(unet)
    halved = {k: v.detach().half().cpu().contiguous() for k, v in peft.items()}
    config = unet.peft_config["default"].to_dict()
    # kohya's own metadata: what other programs show of a LoRA
    metadata = {"format": "pt", "ss_output_name": name, "ss_sd_model_name": trained_on}

    def write(to: Path) -> None:
        # as they are: `convert_state_dict_to_diffusers` renames the attention layers alone, and
        # `load_lora_weights` then loads the convolutions and leaves the attention out
        StableDiffusionPipeline.save_lora_weights(
            to, unet_lora_layers=halved, unet_lora_adapter_metadata=config
        )
        save_file(kohya_keys(halved), to / f"{name}.safetensors", metadata=metadata)
        said = {
            "name": name,
            "model": trained_on,
            "rank": int(next(iter(halved.values())).shape[0]),
        }
        (to / "lora.json").write_text(json.dumps(said) + "\n")

    write_part(folder, name, write, samples)


def kohya_keys(peft: dict[str, Tensor]) -> dict[str, Tensor]:
    """PEFT's tensors of a denoiser under kohya's names, with their alphas, fp16."""
    named = {f"unet.{k}": v for k, v in peft.items()}
    kohya = convert_state_dict_to_kohya(named)
    return {k: v.half().contiguous() for k, v in kohya.items()}
