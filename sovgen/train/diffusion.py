"""Diffusion: a denoiser that learns what the noise in a latent looks like, and what was asked for.

    x_t = alpha_t x_0 + sigma_t eps                            the forward process
    loss = w(t) |net(x_t, t, c) - v_t|^2                       v_t = alpha_t eps - sigma_t x_0

or, where that is what the model's scheduler says that it predicts, eps or x_0 in place of v_t;
over latents x_0 of pictures with captions c, the empty caption now and then (classifier-free
guidance), t from a logit-normal with a share at t = T - 1, w by min-SNR with a floor. A model whose
scheduler is a flow-matching one takes the straight path instead, with w = 1 (`noising.flow`).

Sources: Rombach et al. 2022 (latent diffusion), arXiv:2112.10752; Ho & Salimans 2022 (guidance),
arXiv:2207.12598; and those of `noising`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from sovgen.errors import BadCheckpoint, BadSettings
from sovgen.train import noising
from sovgen.train.captions import compose
from sovgen.train.chance import Chance, chance
from sovgen.train.dataset import Dataset
from sovgen.train.latents import Latents, cached_latents
from sovgen.train.parts import (
    Pipeline,
    Scheduler,
    Unet,
    Vae,
    class_of,
    part_of,
    read_part,
    samples_seen,
    write_part,
)
from sovgen.train.sheets import sheet
from sovgen.train.texts import TextTower, load_texts

SHARD = "16MB"
SHARED_STYLES = 6  # a name drawn in this many sets counts in full


@dataclass(frozen=True)
class DiffusionPlan:
    """The [diffusion] of a recipe.

    grounds: latents kept of each picture; white: how much more often the white one is drawn
    empty: share of empty captions; last: share of samples at the noisiest step
    gamma, floor: min-SNR's clip, and the least weight of a velocity's error
    time_mean, time_std: of the logit of t / T
    commonness: exponent of how much less a name counts that few sets draw
    unet: the denoiser's configuration when it is trained from scratch
    guidance, sample_steps, prompts: of the sample sheet
    """

    grounds: int = 3
    white: float = 2.0
    empty: float = 0.1
    last: float = 0.0625
    gamma: float = 5.0
    floor: float = 0.15
    time_mean: float = 0.15
    time_std: float = 1.1
    commonness: float = 1.5
    guidance: float = 4.0
    sample_steps: int = 20
    prompts: tuple[str, ...] = ("a red apple, 3d style",)
    unet: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.grounds, self.sample_steps, len(self.prompts)) < 1:
            raise ValueError("grounds, sample_steps and prompts are at least 1")


@dataclass(frozen=True)
class Noised:
    """A batch: clean latents (n, c, s, s), noise, steps (n,), and their captions."""

    x_0: Tensor
    eps: Tensor
    t: Tensor
    captions: Sequence[str]


class Diffusion:
    """The objective of the denoiser; see the head of the file."""

    name = "diffusion"

    def __init__(
        self,
        data: Dataset,
        model: Path,
        plan: DiffusionPlan,
        *,
        scratch: bool = False,
        device: str = "cpu",
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.data, self.model, self.plan = data, model, plan
        self.scheduler = load_scheduler(model)
        self.schedule = None if is_flow(self.scheduler) else schedule_of(self.scheduler)
        self.steps: int = self.scheduler.config.num_train_timesteps
        self.prediction: noising.Prediction = self.scheduler.config.get(
            "prediction_type", "epsilon"
        )
        self.texts: TextTower = load_texts(model, device)
        self.vae = load_vae(model).to(device)
        self.latents: Latents = cached_latents(data, self.vae, plan.grounds, device, on_notice)
        self.learner: nn.Module = new_unet(plan) if scratch else load_unet(model)
        _check_fit(self.learner, self.vae, self.texts)
        self.learner.to(device, memory_format=torch.channels_last)
        self.samples_before = 0 if scratch else samples_seen(model, "unet")
        self._trained = data.rows(held_out=False)
        self._chances = np.cumsum(_weights(data, self._trained, plan))

    def batch(self, chance: Chance, size: int) -> Noised:
        """Latents by weight, each with a caption of its own, a step and its noise."""
        rng = chance.numpy
        drawn = np.searchsorted(self._chances, rng.random(size) * self._chances[-1])
        rows, grounds = self._trained[drawn // self.plan.grounds], drawn % self.plan.grounds
        captions = [
            "" if rng.random() < self.plan.empty else self._caption(r, g, rng)
            for r, g in zip(rows, grounds, strict=True)
        ]
        t = noising.logit_normal(size, self.plan.time_mean, self.plan.time_std, chance.torch)
        t = (t * self.steps).long().clamp(max=self.steps - 1)
        t[: round(size * self.plan.last)] = self.steps - 1
        x_0 = self._latents(rows, grounds)
        return Noised(x_0, torch.randn(x_0.shape, generator=chance.torch), t, captions)

    def loss(self, learner: nn.Module, batch: Noised) -> tuple[Tensor, dict[str, float]]:
        """Weighted squared error of the velocity, shape ()."""
        device = next(learner.parameters()).device
        x_0, eps, t = (v.to(device) for v in (batch.x_0, batch.eps, batch.t))
        x_t, time, wanted, weight = self._forward(x_0, eps, t)
        states = self.texts.states(batch.captions)
        out = learner(x_t.contiguous(memory_format=torch.channels_last), time, states).sample
        error = (out.float() - wanted).square().mean(dim=(1, 2, 3))
        return (weight * error).mean(), {}

    def _forward(self, x_0: Tensor, eps: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """x_t (n, c, s, s), the time told to the network (n,), what it is to say, weight (n,)."""
        if self.schedule is None:
            part = (t + 1) / self.steps
            x_t, wanted = noising.flow(x_0, eps, part)
            return x_t, t + 1, wanted, torch.ones_like(part)
        alpha, sigma = self.schedule.at(t, x_0)
        wanted = noising.target(self.prediction, x_0, eps, alpha, sigma)
        weight = noising.min_snr_weight(self.schedule.snr(t), self.prediction, self.plan.gamma)
        if self.prediction == "v_prediction":  # at zero SNR it would weigh nothing
            weight = weight.clamp(min=self.plan.floor)
        return noising.add_noise(x_0, eps, alpha, sigma), t, wanted, weight

    def validate(self) -> dict[str, float]:
        """The same loss over the held-out pictures on white, with fixed noise and steps."""
        rows = self.data.rows(held_out=True)
        losses = []
        for i in range(0, len(rows), 64):
            some = rows[i : i + 64]
            drawn = chance(0, i)
            captions = [self._caption(r, 0, drawn.numpy) for r in some]
            t = torch.linspace(0, self.steps - 1, len(some)).long()
            x_0 = self._latents(some, np.zeros(len(some), np.int64))
            eps = torch.randn(x_0.shape, generator=drawn.torch)
            loss, _ = self.loss(self.learner, Noised(x_0, eps, t, captions))
            losses.append(float(loss) * len(some))
        return {"loss": sum(losses) / len(rows)}

    def sheet(self) -> Image:
        """The plan's prompts, each from its own fixed seed, drawn by diffusers' own pipeline."""
        pipe = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.texts.encoder,
            tokenizer=self.texts.tokenizer,
            unet=self.learner,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        return drawn_sheet(pipe, self.plan.prompts, self.plan.sample_steps, self.plan.guidance)

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/unet, fp16, in shards of at most 16 MiB."""
        half = UNet2DConditionModel.from_config(self.learner.config)
        half.load_state_dict(self.learner.state_dict())
        half.half()
        write_part(folder, "unet", lambda f: half.save_pretrained(f, max_shard_size=SHARD), samples)

    def _caption(self, row: int, ground: int, rng: np.random.Generator) -> str:
        p = self.data.pictures[row]
        return compose(p.caption, p.keywords, p.styles, self.latents.grounds[row][ground], rng)

    def _latents(self, rows: NDArray[np.int64], grounds: NDArray[np.int64]) -> Tensor:
        z = torch.from_numpy(self.latents.values[rows, grounds].astype(np.float32))
        return z * float(self.vae.config.scaling_factor)


def _check_fit(unet: Unet, vae: Vae, texts: TextTower) -> None:
    """Raises BadCheckpoint unless the denoiser takes these latents, and this text alone."""
    latents, width = vae.config.latent_channels, texts.encoder.config.hidden_size
    if unet.config.in_channels != latents:
        raise BadCheckpoint(
            f"The denoiser takes {unet.config.in_channels} channels; the latents have {latents}.",
            "Give both from one model, or channels that fit in the recipe.",
        )
    if unet.config.cross_attention_dim != width or unet.config.addition_embed_type == "text_time":
        raise BadCheckpoint(
            f"The denoiser does not read a text of width {width} alone.",
            "Models of two towers, such as SDXL, learn by LoRA only: sovgen train lora.",
        )


def load_scheduler(model: Path) -> Scheduler:
    """The model's scheduler, of the class that its config names."""
    folder = part_of(model, "scheduler")
    kind = getattr(diffusers, diffusers.DDIMScheduler.load_config(folder)["_class_name"])
    scheduler: Scheduler = kind.from_pretrained(folder)
    if is_flow(scheduler):
        scheduler.init_noise_sigma = 1.0  # the pipeline asks every scheduler for it
    return scheduler


def is_flow(scheduler: Scheduler) -> bool:
    """Whether it walks the straight path of flow matching."""
    return isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler)


def schedule_of(scheduler: Scheduler) -> noising.Schedule:
    """Our schedule for a diffusers scheduler's configuration. Raises BadSettings."""
    c = scheduler.config
    makers = {"linear": noising.linear_betas, "scaled_linear": noising.scaled_linear_betas}
    if c.beta_schedule not in makers:
        raise BadSettings(f"No noise schedule {c.beta_schedule!r}.", f"Known: {', '.join(makers)}.")
    betas = makers[c.beta_schedule](c.num_train_timesteps, c.beta_start, c.beta_end)
    if c.get("rescale_betas_zero_snr"):
        betas = noising.zero_terminal_snr(betas)
    return noising.schedule(betas)


def load_unet(model: Path) -> Unet:
    """The model's denoiser in float32, with the attention that trains fastest where it runs."""
    unet = read_part(model, "unet", UNet2DConditionModel, torch_dtype=torch.float32)
    return _with_plain_attention(unet)


def new_unet(plan: DiffusionPlan) -> Unet:
    """A denoiser of the plan's configuration, newly drawn."""
    return _with_plain_attention(UNet2DConditionModel(**plan.unet))


def load_vae(model: Path) -> Vae:
    """The model's autoencoder, float32, for reading only; its class as its config names it."""
    kind = getattr(diffusers, class_of(model, "vae"))
    vae = read_part(model, "vae", kind, torch_dtype=torch.float32)
    return vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def drawn_sheet(
    pipe: Pipeline,
    prompts: Sequence[str],
    steps: int,
    guidance: float,
) -> Image:
    """Those prompts drawn, prompt i from seed i."""
    pipe.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    drawn = pipe(list(prompts), num_inference_steps=steps, guidance_scale=guidance, generator=seeds)
    return sheet(drawn.images)


def _with_plain_attention(unet: Unet) -> Unet:
    # On a CPU the backward of SDPA is slow: plain attention trains 1.38 times faster.
    if not torch.cuda.is_available():
        unet.set_attn_processor(AttnProcessor())
    return unet


def _weights(data: Dataset, rows: NDArray[np.int64], plan: DiffusionPlan) -> NDArray[np.float64]:
    """How often each (row, ground) is drawn, flat, length rows x grounds."""
    counts = Counter(p.caption for p in data.pictures)
    ground = np.array([plan.white] + [1.0] * (plan.grounds - 1))
    shared = np.array([min(counts[data.pictures[r].caption], SHARED_STYLES) for r in rows])
    weight = np.array([data.pictures[r].weight for r in rows])
    weight = weight * (shared / SHARED_STYLES) ** plan.commonness
    return np.outer(weight, ground).ravel()
