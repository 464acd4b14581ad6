"""Autoencoder: pictures to latents an eighth as large, and back.

    z = E(x),  y = D(z + s eps)
    loss = 2 |y - x|^2 + 0.5 |y - x| + 0.25 |grad y - grad x| + 0.1 (1 - SSIM(y, x)) + 0.02 R(z)

R keeps each latent channel at mean 0 and deviation 1; the noise s makes the decoder forgiving of
what a denoiser draws. With the encoder frozen (the denoiser has learned its latents) only the
decoder is sharpened, and R falls away.

Sources: Rombach et al. 2022, arXiv:2112.10752; the network is diffusers' AutoencoderTiny, after
TAESD; Wang et al. 2004 (SSIM), doi:10.1109/TIP.2003.819861.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional as F

from sovgen.errors import BadCheckpoint, BadSettings
from sovgen.train.chance import Chance, chance
from sovgen.train.dataset import Dataset
from sovgen.train.grounds import draw_ground, laid_on
from sovgen.train.parts import Vae, class_of, read_part, samples_seen, write_part
from sovgen.train.sheets import images_of, sheet

SHOWN = 16


@dataclass(frozen=True)
class AutoencoderPlan:
    """The [autoencoder] of a recipe.

    crop: side of the squares that are trained on, pixels
    white: share of white grounds
    noise: s, the deviation of the noise in the latents
    busy: how many squares are drawn for each that is kept; the busiest are
    freeze_encoder: train the decoder alone
    vae: the configuration when it is trained from scratch
    """

    crop: int = 64
    white: float = 0.4
    noise: float = 0.06
    busy: int = 2
    freeze_encoder: bool = True
    vae: dict[str, Any] = field(default_factory=dict)


class Coder(nn.Module):
    """The autoencoder as it is trained: x (n, 3, h, w), -1 .. 1, to y of its shape, and latents."""

    def __init__(self, vae: Vae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """D(E(x) + noise eps) and E(x)."""
        z = self.vae.encoder(x)
        return self.vae.decoder(z + noise * torch.randn_like(z)).float(), z.float()


class Autoencoder:
    """The objective of the autoencoder; see the head of the file."""

    name = "autoencoder"

    def __init__(
        self,
        data: Dataset,
        model: Path,
        plan: AutoencoderPlan,
        *,
        scratch: bool = False,
        device: str = "cpu",
    ) -> None:
        if not 0 < plan.crop <= data.pixels.shape[1]:
            raise BadSettings(
                f"crop = {plan.crop} does not fit pictures of {data.pixels.shape[1]} pixels.",
                "Give a recipe with a smaller crop.",
            )
        self.data, self.plan = data, plan
        self.learner = Coder(_new(plan) if scratch else _load(model))
        self.frozen = plan.freeze_encoder and not scratch
        if self.frozen:
            self.learner.vae.encoder.requires_grad_(False)
        self.learner.to(device).to(memory_format=torch.channels_last)
        self.samples_before = 0 if scratch else samples_seen(model, "vae")
        self._trained = data.rows(held_out=False)

    def batch(self, chance: Chance, size: int) -> Tensor:
        """Squares (size, 3, crop, crop), -1 .. 1, on grounds; the busiest of those drawn."""
        rng, crop = chance.numpy, self.plan.crop
        rows = rng.choice(self._trained, size * self.plan.busy)
        corners = rng.integers(0, self.data.pixels.shape[1] - crop + 1, (len(rows), 2))
        places = zip(rows, corners, strict=True)
        squares = np.stack(
            [self.data.pixels[r, y : y + crop, x : x + crop] for r, (y, x) in places]
        )
        busyness = squares[:, ::8, ::8].std(axis=(1, 2)).sum(axis=1)
        kept = squares[np.argsort(-busyness)[:size]]
        x = laid_on(kept, [draw_ground(rng, self.plan.white) for _ in range(size)])
        return x * 2 - 1

    def loss(self, learner: nn.Module, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum at the head of the file, shape (); and the PSNR in dB."""
        x = batch.to(next(learner.parameters()).device, memory_format=torch.channels_last)
        y, z = learner(x, self.plan.noise)
        square = (y - x).square().mean()
        edges = sum((a - b).abs().mean() for a, b in zip(_edges(y), _edges(x), strict=True))
        loss = 2 * square + 0.5 * (y - x).abs().mean() + 0.25 * edges
        loss = loss + 0.1 * (1 - ssim((y + 1) / 2, (x + 1) / 2).mean())
        if not self.frozen:
            loss = loss + 0.02 * _spread(z)
        return loss, {"psnr": 10 * math.log10(4 / max(float(square.detach()), 1e-12))}

    def validate(self) -> dict[str, float]:
        """Mean PSNR and SSIM over whole held-out pictures, each on a ground of its own."""
        marks = [self._judge(row) for row in self.data.rows(held_out=True)]
        return {
            "psnr": float(np.mean([m[0] for m in marks])),
            "ssim": float(np.mean([m[1] for m in marks])),
        }

    def sheet(self) -> Image:
        """Held-out pictures, and below each what comes back."""
        rows = self.data.rows(held_out=True)[:SHOWN]
        x = torch.cat([self._picture(r) for r in rows])
        y = self._back(x)
        pages = [images_of(t) for part in zip(x.split(8), y.split(8), strict=True) for t in part]
        return sheet([image for page in pages for image in page])

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/vae, fp16; its scaling factor is the inverse deviation of the latents."""
        half: Vae = AutoencoderTiny.from_config(self.learner.vae.config)
        half.load_state_dict(self.learner.vae.state_dict())
        if not self.frozen:
            half.register_to_config(scaling_factor=1 / self._deviation())
        half.half()
        write_part(folder, "vae", lambda f: half.save_pretrained(f), samples)

    def _picture(self, row: int) -> Tensor:
        ground = draw_ground(chance(0, int(row)).numpy, self.plan.white)
        return laid_on(self.data.pixels[row : row + 1], [ground])

    def _back(self, x: Tensor) -> Tensor:
        """(n, 3, h, w), 0 .. 1, through the network, on the CPU."""
        y: Tensor = self.learner((x * 2 - 1).to(next(self.learner.parameters()).device))[0]
        return (y.cpu() / 2 + 0.5).clamp(0, 1)

    def _judge(self, row: int) -> tuple[float, float]:
        x = self._picture(row)
        y = self._back(x)
        return float(psnr(y, x)), float(ssim(y, x))

    @torch.no_grad()
    def _deviation(self) -> float:
        x = torch.cat([self._picture(r) for r in self._trained[:256]])
        _, z = self.learner((x * 2 - 1).to(next(self.learner.parameters()).device))
        return float(z.std())


def psnr(y: Tensor, x: Tensor) -> Tensor:
    """Peak signal to noise of each picture (n, c, h, w), 0 .. 1, in dB, shape (n,)."""
    return -10 * (y - x).square().mean(dim=(1, 2, 3)).clamp(min=1e-12).log10()


def ssim(y: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of each picture (n, c, h, w), 0 .. 1, shape (n,).

    Gaussian window of 11 pixels and deviation 1.5, K = (0.01, 0.03), as in Wang et al. 2004; no
    padding; the mean over channels.
    """
    offsets = torch.arange(11, dtype=x.dtype, device=x.device) - 5
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()
    mean_x, mean_y = _blurred(x, window), _blurred(y, window)
    var_x = _blurred(x * x, window) - mean_x**2
    var_y = _blurred(y * y, window) - mean_y**2
    cov = _blurred(x * y, window) - mean_x * mean_y
    light = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    shape = (2 * cov + 0.03**2) / (var_x + var_y + 0.03**2)
    return (light * shape).mean(dim=(1, 2, 3))


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    c = x.shape[1]
    rows = F.conv2d(x, window.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    return F.conv2d(rows, window.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def _spread(z: Tensor) -> Tensor:
    """R: how far each channel is from mean 0 and deviation 1."""
    dims = (0, 2, 3)
    return z.mean(dims).square().mean() + (z.std(dims) - 1).square().mean()


def _load(model: Path) -> Vae:
    found = class_of(model, "vae")
    if found != AutoencoderTiny.__name__:
        raise BadCheckpoint(
            f"The autoencoder of {model} is a {found}.",
            f"Only a {AutoencoderTiny.__name__} is trained here; --scratch makes a new one.",
        )
    return read_part(model, "vae", AutoencoderTiny, torch_dtype=torch.float32)


def _new(plan: AutoencoderPlan) -> Vae:
    return AutoencoderTiny(**plan.vae)
