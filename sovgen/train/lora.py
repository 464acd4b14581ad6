"""LoRA: a model taught a person's own style or thing from a handful of pictures.

    loss = w(t) |net(x_t, t, c) - target|^2 over the set + lambda the same over its own pictures

The second term (prior preservation) keeps the model from forgetting what it could draw: before
training, it draws pictures of its own, and these are trained on beside the set. The network's
prediction (noise or velocity) and schedule are the model's own.

Sources: Hu et al. 2021 (LoRA), arXiv:2106.09685; Ruiz et al. 2022 (prior preservation),
arXiv:2208.12242; NovelAI 2022 (aspect-ratio buckets).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn

from index.counting import counted
from sovgen.errors import ModelUnsupported
from sovgen.train import noising
from sovgen.train.adapter import ATTENTION, add_adapter, write_adapter
from sovgen.train.chance import Chance, chance
from sovgen.train.diffusion import drawn_sheet, schedule_of
from sovgen.train.examples import Example, Prepared, prepare_examples
from sovgen.train.latents import encode
from sovgen.train.parts import Pipeline


@dataclass(frozen=True)
class LoraPlan:
    """The [lora] of a recipe.

    rank: of the additions; layers: whose names end so get one
    word: what the set is called in prompts; ends every caption
    prior: how many pictures of its own the model is held to; prior_prompts: what they show, by
        default the set's captions without the word
    prior_weight: lambda; prior_steps: how many steps each of them is drawn in
    gamma: min-SNR's clip; empty: share of empty captions
    prompts, guidance, sample_steps: of the sample sheet; by default the set's captions
    """

    rank: int = 8
    layers: tuple[str, ...] = ATTENTION
    word: str = ""
    prior: int = 0
    prior_prompts: tuple[str, ...] = ()
    prior_weight: float = 1.0
    prior_steps: int = 20
    gamma: float = 5.0
    empty: float = 0.1
    prompts: tuple[str, ...] = ()
    guidance: float = 4.0
    sample_steps: int = 20

    def __post_init__(self) -> None:
        if min(self.rank, self.prior_steps, self.sample_steps, len(self.layers)) < 1:
            raise ValueError("rank, layers, prior_steps and sample_steps are at least 1")


@dataclass(frozen=True)
class Shown:
    """A batch of one size: latents (n, c, h, w), noise, steps (n,), row of each text (n,).

    weight: of their mean error in the loss
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    texts: list[int]
    weight: float


class Lora:
    """The objective of a low-rank adapter; see the head of the file."""

    samples_before = 0

    def __init__(
        self,
        pipe: Pipeline,
        examples: Sequence[Example],
        plan: LoraPlan,
        *,
        title: str,
        seed: int = 0,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        _check_kind(pipe)
        self.pipe, self.plan, self.title = pipe, plan, title
        self._source = Path(str(pipe.config.get("_name_or_path", ""))).name
        # A run goes on with what it began with.
        self.name = f"lora of the set {title} on {self._source or 'a model'}"
        self.schedule = schedule_of(pipe.scheduler)
        self.prediction: noising.Prediction = pipe.scheduler.config.prediction_type
        self.device = pipe.unet.device.type
        side = pipe.unet.config.sample_size * pipe.vae_scale_factor
        grid = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
        own = prepare_examples(examples, side * side, grid, plan.word, on_notice)
        prior = self._drawn_prior(examples, grid, side, on_notice)
        self._captions = ["", *[p.caption for p in own + prior]]
        self._latents = [self._encoded(p) for p in own + prior]
        self._texts = [self._encoded_text(c) for c in self._captions]
        self._own = len(own)
        add_adapter(pipe.unet, plan.rank, plan.layers, seed)
        pipe.unet.enable_gradient_checkpointing()
        self.learner: nn.Module = pipe.unet

    def batch(self, chance: Chance, size: int) -> list[Shown]:
        """`size` of the set, and, with a prior, as many of the model's own; grouped by size."""
        own = self._drawn(range(self._own), size, 1.0, chance)
        held = range(self._own, len(self._latents))
        prior = self._drawn(held, size, self.plan.prior_weight, chance) if len(held) else []
        return own + prior

    def loss(self, learner: nn.Module, batch: list[Shown]) -> tuple[Tensor, dict[str, float]]:
        """The sum at the head of the file, shape ()."""
        return torch.stack([s.weight * self._error(learner, s) for s in batch]).sum(), {}

    def validate(self) -> dict[str, float]:
        """The loss over pictures of the set, as many as it has, with fixed noise and steps.

        They are those that are learnt from: a set is too small to hold any out.
        """
        shown = self._drawn(range(self._own), max(8, self._own), 1.0, chance(0, 0))
        return {"loss": float(self.loss(self.learner, shown)[0])}

    def sheet(self) -> Image:
        """The plan's prompts, or the set's first captions, drawn with the adapter."""
        prompts = self.plan.prompts or tuple(self._captions[1 : min(self._own, 8) + 1])
        return drawn_sheet(self.pipe, prompts, self.plan.sample_steps, self.plan.guidance)

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/TITLE with both kinds of LoRA file."""
        write_adapter(self.learner, folder, self.title, samples, self._source)

    def _error(self, learner: nn.Module, shown: Shown) -> Tensor:
        x_0, eps, t = (v.to(self.device) for v in (shown.x_0, shown.eps, shown.t))
        alpha, sigma = self.schedule.at(t, x_0)
        x_t = noising.add_noise(x_0, eps, alpha, sigma)
        wanted = noising.target(self.prediction, x_0, eps, alpha, sigma)
        states, more = self._conditioning(shown)
        out: Tensor = learner(x_t, t, states, added_cond_kwargs=more, return_dict=False)[0]
        weight = noising.min_snr_weight(self.schedule.snr(t), self.prediction, self.plan.gamma)
        if self.prediction == "v_prediction":  # at zero SNR it would weigh nothing
            weight = weight.clamp(min=0.1)
        return (weight * (out.float() - wanted).square().mean(dim=(1, 2, 3))).mean()

    def _drawn(self, rows: range, size: int, weight: float, chance: Chance) -> list[Shown]:
        """`size` examples of those rows, in groups of one latent size each; weight: of all."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for row in chance.numpy.choice(np.array(rows), size):
            by_shape.setdefault(tuple(self._latents[row].shape), []).append(int(row))
        return [
            self._noised(group, weight * len(group) / size, chance) for group in by_shape.values()
        ]

    def _noised(self, rows: list[int], weight: float, chance: Chance) -> Shown:
        x_0 = torch.stack([self._latents[r] for r in rows])
        eps = torch.randn(x_0.shape, generator=chance.torch)
        t = torch.randint(0, self.schedule.steps, (len(rows),), generator=chance.torch)
        empty = chance.numpy.random(len(rows)) < self.plan.empty
        texts = [0 if e else r + 1 for e, r in zip(empty, rows, strict=True)]
        return Shown(x_0, eps, t, texts, weight)

    def _conditioning(self, shown: Shown) -> tuple[Tensor, dict[str, Tensor]]:
        """Text states (n, tokens, width), and for SDXL the pooled text and the sizes."""
        states = torch.stack([self._texts[i][0] for i in shown.texts]).to(self.device)
        if self._texts[0][1] is None:
            return states, {}
        pooled = torch.stack([_there(self._texts[i][1]) for i in shown.texts]).to(self.device)
        height, width = (s * self.pipe.vae_scale_factor for s in shown.x_0.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(shown.texts))
        return states, {"text_embeds": pooled, "time_ids": sizes.to(states)}

    @torch.no_grad()
    def _encoded(self, prepared: Prepared) -> Tensor:
        """Scaled latents (c, h, w), float32, on the CPU."""
        vae = self.pipe.vae
        pixels = prepared.pixels[None].to(vae.device, vae.dtype)
        scaling = float(vae.config.scaling_factor)
        z: Tensor = encode(vae, pixels)[0].float().cpu() * scaling
        return z

    @torch.no_grad()
    def _encoded_text(self, caption: str) -> tuple[Tensor, Tensor | None]:
        """States (tokens, width), and the pooled text (dim,) where the model wants it."""
        given = self.pipe.encode_prompt(
            prompt=caption,
            device=self.pipe.unet.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        pooled = given[2][0].float().cpu() if len(given) == 4 else None
        return given[0][0].float().cpu(), pooled

    def _drawn_prior(
        self, examples: Sequence[Example], grid: int, side: int, on_notice: Callable[[str], None]
    ) -> list[Prepared]:
        """Pictures that the model draws before it is taught, with their prompts."""
        if not self.plan.prior:
            return []
        captions = tuple({e.caption: None for e in examples if e.caption})
        # without any, what it draws unasked
        asked = self.plan.prior_prompts or captions or ("",)
        pictures = counted(self.plan.prior, "picture")
        on_notice(f"Drawing {pictures} of the model's own, to hold on to.")
        self.pipe.set_progress_bar_config(disable=True)
        return [
            self._drawn_one(asked[i % len(asked)], i, side // grid * grid)
            for i in range(self.plan.prior)
        ]

    def _drawn_one(self, prompt: str, seed: int, side: int) -> Prepared:
        drawn = self.pipe(
            prompt, width=side, height=side, num_inference_steps=self.plan.prior_steps,
            guidance_scale=self.plan.guidance, generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )  # fmt: skip
        pixels = torch.from_numpy(drawn.images[0]).permute(2, 0, 1).float() * 2 - 1
        return Prepared(pixels, prompt)


def _check_kind(pipe: Pipeline) -> None:
    """Raises ModelUnsupported unless it denoises with a UNet that predicts noise or velocity."""
    unet = getattr(pipe, "unet", None)
    kind = pipe.scheduler.config.get("prediction_type")
    if unet is None or unet.config.in_channels != pipe.vae.config.latent_channels:
        raise ModelUnsupported(
            f"A LoRA cannot be trained on a {type(pipe).__name__}.",
            "Choose a text-to-image model of the SD 1, SD 2 or SDXL kind.",
        )
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise ModelUnsupported(f"Unknown prediction {kind!r}.", "Choose another model.")


def _there(pooled: Tensor | None) -> Tensor:
    assert pooled is not None  # noqa: S101 - all captions of one model are pooled or none
    return pooled
