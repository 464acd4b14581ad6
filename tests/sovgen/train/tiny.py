"""The smallest networks of the real classes, drawn from a fixed seed by whoever calls."""

from __future__ import annotations

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from sovgen.train.chance import Chance

UNET = {
    "sample_size": 4, "in_channels": 4, "out_channels": 4, "layers_per_block": 1,
    "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 16,
    "attention_head_dim": 4, "norm_num_groups": 4,
}  # fmt: skip
VAE = {
    "encoder_block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8),
    "latent_channels": 4, "num_encoder_blocks": (0, 0, 0, 1), "num_decoder_blocks": (1, 0, 0, 0),
}  # fmt: skip


def tiny_unet() -> UNet2DConditionModel:
    """A denoiser of 8 and 16 channels for latents (n, 4, 4, 4)."""
    return UNet2DConditionModel(**UNET)


def tiny_vae() -> AutoencoderTiny:
    """An autoencoder of 8 channels, an eighth in size, 4 latent channels."""
    return AutoencoderTiny(**VAE)


class Line:
    """An objective that is quick to learn: y = 3 x, with dropout, so that chance matters twice."""

    name = "line"
    samples_before = 0

    def __init__(self, width: int = 1, poison_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.learner: nn.Module = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, 1))
        self.width, self.poison_at, self.seen = width, poison_at, 0

    def batch(self, chance: Chance, size: int) -> Tensor:
        return torch.randn(size, self.width, generator=chance.torch)

    def loss(self, learner: nn.Module, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        self.seen += 1
        loss = (learner(batch) - 3 * batch.sum(1, keepdim=True)).square().mean()
        return loss * (float("nan") if self.seen == self.poison_at else 1.0), {"seen": 1.0}

    def validate(self) -> dict[str, float]:
        return {"weight": float(next(self.learner[1].parameters()).mean())}

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (4, 4))

    def write(self, folder: object, samples: int) -> None:
        self.written = samples
