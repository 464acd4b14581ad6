"""How fast drawing is, and what each way of saving work changes: `... benchmarks fast`.

Every side is a process of its own, so that its peak memory is its own: loading, one picture to warm
up, then some that are timed. `python -m tests.benchmarks fast sd15` draws with a model of Stable
Diffusion 1.5's shape and random weights at 256 x 256, `bundled` with the bundled model, `saving`
measures settings that save work. Processor seconds stand beside wall seconds, since only they mean
something on a machine that others use too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import FOLDER, interleave, print_table, run_child, spread
from tests.benchmarks.similarity import ssim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

ROUNDS = 3
PROMPT = "a red apple"
GUIDANCE = 3.0
# Name, pixels, steps, pictures that are timed.
SHAPES = {"bundled": (128, 20, 4), "sd15": (256, 2, 1)}
SIDES = ("diffusers, its default", "diffusers, best by hand", "sovgen, automatic")
LONG = "sovgen, OpenVINO"  # what is automatic in a long run of a large model, in float32
SAVING: dict[str, dict[str, Any]] = {
    "nothing": {},
    "cache interval 2": {"cache_interval": 2},
    "cache interval 3": {"cache_interval": 3},
    "cache interval 5": {"cache_interval": 5},
    "guidance until 0.7 of the steps": {"guidance_until": 0.7},
    "guidance until 0.5 of the steps": {"guidance_until": 0.5},
    "half the steps": {"steps": 10},
    "a third of the steps": {"steps": 7},
}
SAVING_PICTURES = 8


@dataclass(frozen=True)
class Timed:
    """A side's run: seconds and processor seconds a picture, peak memory in MB."""

    seconds: float
    processor: float
    peak_mb: float


def main(arguments: Sequence[str]) -> None:
    if arguments and arguments[0] == "side":
        _side(*arguments[1:])
        return
    for name in arguments or ("bundled", "sd15", "saving"):
        if name == "saving":
            _print_saving()
        else:
            _print_sides(name)


def _print_sides(shape: str) -> None:
    pixels, steps, _ = SHAPES[shape]
    folder = str(folder_of(shape))
    command = [sys.executable, "-m", "tests.benchmarks", "fast", "side"]

    def run(side: str) -> Timed:
        child = run_child([*command, side, folder, shape])
        seconds, processor = json.loads(child.output.splitlines()[-1])
        return Timed(seconds, processor, child.peak_mb)

    sides = (*SIDES, LONG) if find_spec("openvino") else SIDES
    runs = interleave({side: lambda side=side: run(side) for side in sides}, ROUNDS)
    base = [timed.processor for timed in runs[SIDES[0]]]
    rows = [
        [
            side,
            spread([t.seconds for t in timed]),
            spread([t.processor for t in timed]),
            spread([b / t.processor for b, t in zip(base, timed, strict=True)]),
            spread([t.peak_mb for t in timed], 0),
        ]
        for side, timed in runs.items()
    ]
    columns = ["side", "s a picture", "processor s", "times as fast (processor)", "peak MB"]
    print_table(f"Warm, {shape}, {steps} steps, {pixels} x {pixels}", columns, rows)


def folder_of(shape: str) -> Path:
    """The folder of the model of that shape, made if it is not there."""
    from index.bundled import bundled_model

    return bundled_model() if shape == "bundled" else _sd15()


def _sd15() -> Path:
    """A folder of Stable Diffusion 1.5's shape; random weights, half as large on disk."""
    folder = FOLDER / "sd15"
    if not (folder / "model_index.json").is_file():
        import torch
        from diffusers import (
            AutoencoderKL,
            PNDMScheduler,
            StableDiffusionPipeline,
            UNet2DConditionModel,
        )
        from transformers import CLIPTextConfig, CLIPTextModel

        from tests.tiny import sd1

        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        tower = {"hidden_size": 768, "intermediate_size": 3072, "projection_dim": 768}
        tower |= {"num_hidden_layers": 12, "num_attention_heads": 12}
        wide = {"down_block_types": ("DownEncoderBlock2D",) * 4, "latent_channels": 4}
        wide |= {"up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2}
        pipe = StableDiffusionPipeline(
            unet=UNet2DConditionModel(cross_attention_dim=768, sample_size=64),
            vae=AutoencoderKL(block_out_channels=(128, 256, 512, 512), sample_size=512, **wide),
            text_encoder=CLIPTextModel(CLIPTextConfig(**tower, eos_token_id=49407)),
            tokenizer=sd1().tokenizer,
            scheduler=PNDMScheduler.from_config(sd1().scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.save_pretrained(folder)
    return folder


def _side(name: str, folder: str, shape: str) -> None:
    """One side in this process: seconds and processor seconds of one picture, as JSON."""
    pixels, steps, pictures = SHAPES[shape]
    if name.startswith("sovgen"):
        draw = _sovgen(folder, pixels, steps, "openvino" if name == LONG else None)
    else:
        draw = _diffusers(folder, pixels, steps, by_hand="hand" in name)
    draw(0)
    wall, processor = time.perf_counter(), time.process_time()
    for seed in range(1, pictures + 1):
        draw(seed)
    spent = (time.perf_counter() - wall, time.process_time() - processor)
    print(json.dumps([one / pictures for one in spent]))


def _diffusers(folder: str, pixels: int, steps: int, *, by_hand: bool) -> Callable[[int], None]:
    """By hand: bfloat16 for all parts where the CPU has it, else channels last; no more gained."""
    import torch
    from diffusers import StableDiffusionPipeline

    from index.processor import bfloat16_by

    dtype = torch.bfloat16 if by_hand and bfloat16_by() else torch.float32
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if by_hand and dtype == torch.float32:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)

    def draw(seed: int) -> None:
        source = torch.Generator().manual_seed(seed)
        how = {"num_inference_steps": steps, "guidance_scale": GUIDANCE, "generator": source}
        pipe(PROMPT, width=pixels, height=pixels, **how)

    return draw


def _sovgen(folder: str, pixels: int, steps: int, backend: str | None) -> Callable[[int], None]:
    from sovgen.generate.generator import generate
    from sovgen.models.load import load_model
    from sovgen.recipe import Recipe

    model = load_model(folder)
    recipe = Recipe(
        PROMPT, steps=steps, guidance=GUIDANCE, width=pixels, height=pixels, backend=backend
    )
    return lambda seed: _drain(generate(model, [replace(recipe, seed=seed)]))


def _drain(pictures: object) -> None:
    assert list(pictures)  # type: ignore[call-overload]


def _print_saving() -> None:
    from index.encoder import load_encoder
    from sovgen.models.load import load_model
    from sovgen.recipe import Recipe

    model, encoder = load_model(None), load_encoder()
    prompts = [PROMPT, "a smiling face", "a blue car", "a green tree"] * (SAVING_PICTURES // 4)
    plain = [Recipe(p, seed=s, steps=20, guidance=GUIDANCE) for s, p in enumerate(prompts)]
    _drawn(model, plain[:1], {})
    full, pace = _drawn(model, plain, {})
    rows = []
    for name, setting in SAVING.items():
        pixels, processor = _drawn(model, plain, setting)
        rows.append([name, f"{processor:.3f}", f"{pace / processor:.2f}"])
        rows[-1] += [*_change(full, pixels), f"{ssim(full, pixels):.3f}"]
        rows[-1] += [f"{_adherence(encoder, prompts, pixels):.3f}"]
    columns = [
        "what is saved",
        "processor s",
        "times as fast",
        "mean change of 255",
        "PSNR",
        "SSIM",
    ]
    print_table("What saving work changes, bundled model, 20 steps", [*columns, "adherence"], rows)


def _drawn(
    model: Model, recipes: Sequence[Recipe], setting: dict[str, Any]
) -> tuple[NDArray[np.float64], float]:
    """Pixels of all, and processor seconds a picture."""
    import numpy as np

    from sovgen.generate.generator import generate

    began = time.process_time()
    pictures = list(generate(model, [replace(recipe, **setting) for recipe in recipes]))
    spent = (time.process_time() - began) / len(pictures)
    return np.stack([np.asarray(p.image, np.float64) for p in pictures]), spent


def _change(full: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[str, str]:
    import numpy as np

    squares = ((full - other) ** 2).mean()
    psnr = f"{10 * np.log10(255**2 / squares):.1f} dB" if squares else "the same"
    return f"{np.abs(full - other).mean():.2f}", psnr


def _adherence(encoder: Any, prompts: Sequence[str], pixels: NDArray[np.float64]) -> float:  # noqa: ANN401
    from PIL import Image

    images = encoder.encode_images([Image.fromarray(array.astype("uint8")) for array in pixels])
    return float((images * encoder.encode_texts(prompts)).sum(axis=1).mean())
