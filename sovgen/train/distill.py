"""Distill: a student that draws in 4 steps what its teacher draws in 30.

A latent consistency model: f(x_t, t, c) is to give the same clean latent from anywhere on one path
of the teacher's guided differential equation.

    f(x_t, t, c) = c_skip(t) x_t + c_out(t) x_0(net, x_t, t)       f at t = 0 is the identity
    x_s          = DDIM step from t to s by the teacher, guided by w
    loss         = huber(f(x_t, t, c) - f^-(x_s, s, c))            f^- without a gradient

The student is the teacher with a low-rank adapter (LCM-LoRA), so it is a small file beside the
model, and the teacher is the same network with the adapter off. Guidance is learned in: the
student is drawn with guidance 1.

Sources: Song et al. 2023 (consistency models), arXiv:2303.01469; Luo et al. 2023 (LCM),
arXiv:2310.04378, and (LCM-LoRA), arXiv:2311.05556.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from PIL.Image import Image
from torch import Tensor, nn

from sovgen.errors import ModelUnsupported
from sovgen.train import noising
from sovgen.train.adapter import ATTENTION, CONVOLUTIONS, add_adapter, write_adapter
from sovgen.train.chance import Chance
from sovgen.train.dataset import Dataset
from sovgen.train.diffusion import Diffusion, DiffusionPlan, Noised, drawn_sheet
from sovgen.train.parts import Pipeline, Unet

DATA_DEVIATION = 0.5  # sigma_data of the boundary condition, as in LCM
TIME_SCALE = 10.0


@dataclass(frozen=True)
class DistillPlan:
    """The [distill] of a recipe.

    rank, layers: of the adapter
    guidance: w of the teacher, learned in
    teacher_steps: into how many the teacher's path is cut
    student_steps: of the sample sheet, and of the comparison with the teacher
    grounds: latents kept of each picture, as in [diffusion]
    prompts: of the sample sheet
    """

    rank: int = 32
    layers: tuple[str, ...] = ATTENTION + CONVOLUTIONS
    guidance: float = 4.0
    teacher_steps: int = 50
    student_steps: int = 4
    grounds: int = 3
    prompts: tuple[str, ...] = ("a red apple, 3d style",)


class Distill:
    """The objective of the few-step student; see the head of the file."""

    name = "distill"
    samples_before = 0

    def __init__(
        self,
        data: Dataset,
        model: Path,
        plan: DistillPlan,
        *,
        device: str = "cpu",
        seed: int = 0,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.plan, self.model = plan, model
        teacher_plan = DiffusionPlan(grounds=plan.grounds, empty=0.0, last=0.0)
        self.source = Diffusion(data, model, teacher_plan, device=device, on_notice=on_notice)
        if self.source.schedule is None:
            raise ModelUnsupported(
                "A flow-matching model cannot be distilled this way.", "Choose a diffusion model."
            )
        self.schedule = self.source.schedule
        self.device = device
        unet: Unet = self.source.learner
        add_adapter(unet, plan.rank, plan.layers, seed)
        self.learner: nn.Module = unet
        self._nothing = self.source.texts.states([""])

    def batch(self, chance: Chance, size: int) -> Noised:
        """Latents with captions, and steps t from those that the teacher's path is cut into."""
        drawn = self.source.batch(chance, size)
        stride = self.schedule.steps // self.plan.teacher_steps
        cut = torch.randint(1, self.plan.teacher_steps + 1, (size,), generator=chance.torch)
        return Noised(drawn.x_0, drawn.eps, cut * stride - 1, drawn.captions)

    def loss(self, learner: nn.Module, batch: Noised) -> tuple[Tensor, dict[str, float]]:
        """The pseudo-Huber distance at the head of the file, shape ()."""
        x_0, eps, t = (v.to(self.device) for v in (batch.x_0, batch.eps, batch.t))
        s = (t - self.schedule.steps // self.plan.teacher_steps).clamp(min=0)
        x_t = noising.add_noise(x_0, eps, *self.schedule.at(t, x_0))
        states = self.source.texts.states(batch.captions)
        with torch.no_grad():
            x_s = self._teacher_step(x_t, t, s, states)
            wanted = self._consistent(learner, x_s, s, states)
        found = self._consistent(learner, x_t, t, states)
        return _huber(found - wanted), {}

    def validate(self) -> dict[str, float]:
        """Mean |x - y| of the student's and the teacher's latents from the same noise."""
        few, many = (self._latents_of(student) for student in (True, False))
        return {"distance": float((few - many).abs().mean())}

    def sheet(self) -> Image:
        """The plan's prompts in the student's few steps."""
        return drawn_sheet(self._pipe(), self.plan.prompts, self.plan.student_steps, 1.0)

    def write(self, folder: Path, samples: int) -> None:
        """FOLDER/few-steps: the adapter, in both kinds of LoRA file."""
        write_adapter(self.learner, folder, "few-steps", samples, self.model.name)

    def _teacher_step(self, x_t: Tensor, t: Tensor, s: Tensor, states: Tensor) -> Tensor:
        """x_s by one guided DDIM step of the frozen teacher."""
        alpha_t, sigma_t = self.schedule.at(t, x_t)
        alpha_s, sigma_s = self.schedule.at(s, x_t)
        unet: Unet = self.learner
        unet.disable_adapters()
        empty = self._nothing.expand(len(x_t), -1, -1)
        both = unet(x_t.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([empty, states])).sample.float()
        unet.enable_adapters()
        without, asked = both.chunk(2)
        v = without + self.plan.guidance * (asked - without)
        x_0 = noising.sample_of(self.source.prediction, v, x_t, alpha_t, sigma_t)
        eps = noising.noise_of(self.source.prediction, v, x_t, alpha_t, sigma_t)
        return noising.add_noise(x_0, eps, alpha_s, sigma_s)

    def _consistent(self, learner: nn.Module, x_t: Tensor, t: Tensor, states: Tensor) -> Tensor:
        """f(x_t, t, c), shaped as x_t."""
        alpha, sigma = self.schedule.at(t, x_t)
        v = learner(x_t, t, states).sample.float()
        x_0 = noising.sample_of(self.source.prediction, v, x_t, alpha, sigma)
        time = (t * TIME_SCALE).view(-1, 1, 1, 1).float()
        skip = DATA_DEVIATION**2 / (time**2 + DATA_DEVIATION**2)
        return skip * x_t + time / (time**2 + DATA_DEVIATION**2).sqrt() * x_0

    @torch.no_grad()
    def _latents_of(self, student: bool) -> Tensor:
        """The plan's prompts as latents, in few steps by the student or in many by the teacher."""
        pipe, unet = self._pipe(), self.learner
        if not student:
            unet.disable_adapters()  # type: ignore[operator]
            pipe.scheduler = self.source.scheduler
        n = len(self.plan.prompts)
        drawn: Tensor = pipe(
            list(self.plan.prompts),
            num_inference_steps=self.plan.student_steps if student else self.plan.teacher_steps,
            guidance_scale=1.0 if student else self.plan.guidance,
            generator=[torch.Generator().manual_seed(i) for i in range(n)],
            output_type="latent",
        ).images
        unet.enable_adapters()  # type: ignore[operator]
        return drawn

    def _pipe(self) -> Pipeline:
        pipe: Pipeline = StableDiffusionPipeline(
            vae=self.source.vae,
            text_encoder=self.source.texts.encoder,
            tokenizer=self.source.texts.tokenizer,
            unet=self.learner,
            scheduler=LCMScheduler.from_config(
                self.source.scheduler.config, original_inference_steps=self.plan.teacher_steps
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe


def _huber(difference: Tensor) -> Tensor:
    """sqrt(d^2 + c^2) - c, the mean over everything, c = 0.001 as in LCM."""
    return ((difference.square() + 0.001**2).sqrt() - 0.001).mean()
