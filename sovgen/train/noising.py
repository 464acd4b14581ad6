"""The forward process: Gaussian noise added to data in small steps, and what is learned of it.

A sample x_0 becomes x_t = alpha_t x_0 + sigma_t eps, with eps ~ N(0, 1) and, for the
variance-preserving process, alpha_t^2 + sigma_t^2 = 1. Time t counts 0 .. T - 1; t = T - 1 is the
noisiest. A network may predict the noise eps, the sample x_0 or the velocity
v_t = alpha_t eps - sigma_t x_0; each gives the other two. In flow matching the path is a straight
line, x_t = (1 - t) x_0 + t eps for t in [0, 1], and the velocity is its slope, eps - x_0.

This file knows neither networks nor pictures.

Sources: Ho et al. 2020 (DDPM), arXiv:2006.11239; Salimans & Ho 2022 (velocity), arXiv:2202.00512;
Hang et al. 2023 (min-SNR), arXiv:2303.09556; Lin et al. 2023 (zero terminal SNR),
arXiv:2305.08891; Lipman et al. 2023 (flow matching), arXiv:2210.02747; Esser et al. 2024
(logit-normal times), arXiv:2403.03206.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "sample", "v_prediction"]


@dataclass(frozen=True)
class Schedule:
    """alpha_t and sigma_t for every step of a variance-preserving process, each of shape (T,)."""

    alpha: Tensor
    sigma: Tensor

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return len(self.alpha)

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t, each (n, 1, ..., 1), for t of shape (n,) beside `like` (n, ...)."""
        shape = (-1, *[1] * (like.ndim - 1))
        alpha, sigma = self.alpha.to(like.device), self.sigma.to(like.device)
        return alpha[t].view(shape), sigma[t].view(shape)

    def snr(self, t: Tensor) -> Tensor:
        """alpha_t^2 / sigma_t^2, shape (n,): 0 at the end of a zero-terminal-SNR schedule."""
        return (self.alpha[t.cpu()] / self.sigma[t.cpu()]).square().to(t.device)


def linear_betas(steps: int, first: float, last: float) -> Tensor:
    """Variances added per step, growing linearly: DDPM's schedule, shape (T,)."""
    return torch.linspace(first, last, steps, dtype=torch.float64)


def scaled_linear_betas(steps: int, first: float, last: float) -> Tensor:
    """Variances added per step, their roots growing linearly: Stable Diffusion's, shape (T,)."""
    return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square()


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Betas whose last step holds no signal at all (Lin et al. 2023, algorithm 1), shape (T,).

    The first alpha is kept, the last becomes 0, and those between are shifted and scaled.
    """
    root = (1 - betas).cumprod(0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    square = root.square()
    ratio = square[1:] / square[:-1]
    return 1 - torch.cat([square[:1], ratio])


def schedule(betas: Tensor) -> Schedule:
    """The process whose step t adds noise of variance betas[t]; computed in float64."""
    square = (1 - betas.double()).cumprod(0)
    return Schedule(square.sqrt().float(), (1 - square).sqrt().float())


def add_noise(x_0: Tensor, eps: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
    """x_t = alpha_t x_0 + sigma_t eps: the whole forward process in one line."""
    return alpha_t * x_0 + sigma_t * eps


def velocity(x_0: Tensor, eps: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
    """v_t = alpha_t eps - sigma_t x_0."""
    return alpha_t * eps - sigma_t * x_0


def sample_of(
    prediction: Prediction, out: Tensor, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor
) -> Tensor:
    """The x_0 that a network's output implies at x_t."""
    if prediction == "epsilon":
        return (x_t - sigma_t * out) / alpha_t
    return out if prediction == "sample" else alpha_t * x_t - sigma_t * out


def noise_of(
    prediction: Prediction, out: Tensor, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor
) -> Tensor:
    """The eps that a network's output implies at x_t."""
    if prediction == "sample":
        return (x_t - alpha_t * out) / sigma_t
    return out if prediction == "epsilon" else sigma_t * x_t + alpha_t * out


def target(
    prediction: Prediction, x_0: Tensor, eps: Tensor, alpha_t: Tensor, sigma_t: Tensor
) -> Tensor:
    """What a network of that prediction is asked for."""
    if prediction == "epsilon":
        return eps
    return x_0 if prediction == "sample" else velocity(x_0, eps, alpha_t, sigma_t)


def min_snr_weight(snr: Tensor, prediction: Prediction, gamma: float) -> Tensor:
    """The weight of each sample's squared error, shape (n,) (Hang et al. 2023).

    min(SNR, gamma) on the error in x_0, written for the error in what is predicted: the error in
    eps is SNR times that in x_0, the error in v is SNR + 1 times.
    """
    clipped = snr.clamp(max=gamma)
    if prediction == "epsilon":
        return clipped / snr.clamp(min=1e-8)
    return clipped if prediction == "sample" else clipped / (snr + 1)


def logit_normal(n: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """n times in (0, 1) whose logits are normal: oftener the middle of the path than its ends."""
    return torch.sigmoid(mean + std * torch.randn(n, generator=generator))


def flow(x_0: Tensor, eps: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Flow matching: x_t = (1 - t) x_0 + t eps and its velocity eps - x_0, for t of shape (n,)."""
    t = t.view(-1, *[1] * (x_0.ndim - 1))
    return (1 - t) * x_0 + t * eps, eps - x_0
