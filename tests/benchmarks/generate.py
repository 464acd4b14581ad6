"""Drawing against a bare diffusers script: `python -m tests.benchmarks generate`.

Same weights, steps and seed. Cold: a process from start to a written PNG, ours with everything it
does besides (embedding, tags, thumbnail, catalogue). Warm: some pictures in one process, alone or
together; ours in the script's number format and in the one it chooses by itself, with and without
keeping.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Child, interleave, print_table, run_child, spread

STEPS = 20
ROUNDS = 5
COLD_ROUNDS = 3
PROMPT = "a red apple"
GUIDANCE = 3.0
BATCHES = (1, 8)
PICTURES = 16  # in one go, so that keeping can run behind drawing

Side = Callable[[], float]

if TYPE_CHECKING:
    from sovgen import Recipe

SCRIPT = textwrap.dedent(
    """
    import sys, torch
    from diffusers import StableDiffusionPipeline
    model, out, prompt, steps = sys.argv[1:]
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    how = {"num_inference_steps": int(steps), "guidance_scale": 3.0}
    seed = torch.Generator().manual_seed(1)
    pipe(prompt, generator=seed, **how).images[0].save(out)
    """
)


def main(_: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _print_cold(Path(folder))
        _print_warm(Path(folder))


def _print_cold(folder: Path) -> None:
    from index.bundled import bundled_model

    flags = ["--steps", str(STEPS), "--guidance", "3", "--seed", "1"]
    ours = [sys.executable, "-m", "sovgen", "--library", str(folder / "cold"), "generate", PROMPT]
    bare = [sys.executable, "-c", SCRIPT, str(bundled_model()), str(folder / "a.png"), PROMPT]
    sides: dict[str, Callable[[], Child]] = {
        "bare diffusers script": lambda: run_child([*bare, str(STEPS)]),
        "sovgen generate": lambda: run_child([*ours, *flags]),
        "sovgen generate --no-index": lambda: run_child(
            [*ours, *flags, "--no-index"], folder=folder
        ),
    }
    rows = [
        [name, spread([c.seconds for c in runs]), spread([c.peak_mb for c in runs], 0)]
        for name, runs in interleave(sides, COLD_ROUNDS).items()
    ]
    print_table(f"Cold, one picture, {STEPS} steps", ["side", "s", "peak MB"], rows)


def _print_warm(folder: Path) -> None:
    for batch in BATCHES:
        sides = {
            "bare diffusers (its default, float32)": _bare(batch),
            "sovgen, float32, drawing alone": _drawing(batch, "float32"),
            "sovgen, float32, drawing and keeping": _keeping(
                folder / f"{batch}32", batch, "float32"
            ),
            "sovgen, automatic, drawing alone": _drawing(batch, None),
            "sovgen, automatic, drawing and keeping": _keeping(folder / f"{batch}", batch, None),
        }
        for side in sides.values():
            side()
        runs = interleave(sides, ROUNDS)
        base = next(iter(runs.values()))
        rows = [
            [name, spread(times), spread([b / t for b, t in zip(base, times, strict=True)])]
            for name, times in runs.items()
        ]
        columns = ["side", "s a picture", "times as fast as bare diffusers"]
        print_table(f"Warm, {batch} at a time, {STEPS} steps, 128 x 128", columns, rows)


def _bare(batch: int) -> Side:
    import torch
    from diffusers import StableDiffusionPipeline

    from index.bundled import bundled_model

    pipe = StableDiffusionPipeline.from_pretrained(bundled_model(), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    seeds = count(1)

    def draw() -> None:
        for _ in range(PICTURES // batch):
            sources = [torch.Generator().manual_seed(next(seeds)) for _ in range(batch)]
            pipe(
                [PROMPT] * batch,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                generator=sources,
            )

    return lambda: _seconds(draw)


def _drawing(batch: int, dtype: str | None) -> Side:
    from sovgen.generate.generator import generate
    from sovgen.models.load import load_model

    model, seeds = load_model(None, dtype=dtype), count(1)
    return lambda: _seconds(lambda: list(generate(model, _recipes(seeds), batch=batch)))


def _keeping(root: Path, batch: int, dtype: str | None) -> Side:
    from sovgen import Studio

    studio, seeds = Studio(root, dtype=dtype), count(1)
    alone = batch == 1
    return lambda: _seconds(lambda: list(studio.make(_recipes(seeds), exact=alone)))


def _recipes(seeds: Iterator[int]) -> list[Recipe]:
    from sovgen import Recipe

    return [
        Recipe(PROMPT, seed=next(seeds), steps=STEPS, guidance=GUIDANCE) for _ in range(PICTURES)
    ]


def _seconds(action: Callable[[], object]) -> float:
    """A picture's share of the time."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) / PICTURES
