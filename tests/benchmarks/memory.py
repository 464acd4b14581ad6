"""Memory per family: what shapes say against what a process takes, and what real models take.

The tiny models are loaded and drawn with, each in a process of its own; of the real ones only the
shapes are known here, and nothing is loaded.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import print_table, run_child

SIDE = 512
TINY = ("sd1", "sd2", "sdxl", "sd3", "flux_dev", "pixart", "sana")

CHILD = """
import json, sys
from pathlib import Path

def kept(name):
    [line] = [l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name)]
    return int(line.split()[1]) * 1024

import torch
from sovgen.generate.generator import generate
from sovgen.models.description import read_layout
from sovgen.models.footprint import footprint
from sovgen.models.load import load_model
from sovgen.models.store import find_model
from sovgen.recipe import Recipe

torch.set_num_threads(1)
folder, side = Path(sys.argv[1]), int(sys.argv[2])
small = Recipe("a fox", steps=1, width=64, height=64)
list(generate(load_model(folder, "cpu", "float32"), [small]))
before = kept("VmRSS")
model = load_model(folder, "cpu", "float32")
loaded = kept("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
list(generate(model, [Recipe("a fox", steps=2, width=side, height=side)]))
peak = kept("VmHWM")
told = footprint(read_layout(find_model(folder)), side, side, "cpu", "float32")
print(json.dumps({"family": model.family, "weights": told.weights, "loaded": loaded - before,
    "beside": told.peak - told.weights, "peak": peak - loaded}))
"""


def main(arguments: list[str]) -> None:
    """Both tables; `tiny` or `real` prints one of them."""
    wanted = arguments or ["tiny", "real"]
    if "tiny" in wanted:
        _print_tiny()
    if "real" in wanted:
        _print_real()


def _print_tiny() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in TINY:
            code = f"from tests import tiny; tiny.{name}().save_pretrained({folder!r} + '/{name}')"
            run_child([sys.executable, "-c", code])
            child = run_child([sys.executable, "-c", CHILD, f"{folder}/{name}", str(SIDE)])
            found = json.loads(child.output.splitlines()[-1])
            figures = [found[key] for key in ("weights", "loaded", "beside", "peak")]
            share = found["peak"] / found["beside"]
            rows.append([found["family"], *map(_megabytes, figures), f"{share:.2f}"])
    print_table(
        f"Memory of tiny models in float32, drawing one picture of {SIDE}x{SIDE}, MB",
        ("family", "weights told", "measured", "beside told", "measured", "measured / told"),
        rows,
        ("Beside: one step, or the decoder and what the C library keeps of the steps.",),
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f}"


@dataclass(frozen=True)
class Real:
    """A real model's shapes: the parts' classes and what differs from diffusers' own defaults."""

    title: str
    pipeline: str
    side: int
    parts: Mapping[str, tuple[str, Mapping[str, Any]]]


def _print_real() -> None:
    from sovgen.models.footprint import footprint

    rows = []
    for real in _reals():
        layout = _layout(real)
        need = footprint(layout, real.side, real.side, "cuda", "bfloat16")
        numbers = f"{sum(layout.numbers.values()) / 1e9:.2f}"
        figures = (need.weights, need.drawing, need.decoding, need.peak)
        rows.append([real.title, numbers, str(real.side), *(f"{f / 1e9:.2f}" for f in figures)])
    print_table(
        "Memory of real shapes in bfloat16, one picture, worked out on the meta device, GB",
        ("model", "parameters, billions", "side", "weights", "one step", "decoding", "peak"),
        rows,
    )


def _layout(real: Real) -> Any:  # noqa: ANN401
    """The layout that a folder of the model would have, its numbers counted on the meta device."""
    from sovgen.models.families import family_of
    from sovgen.models.layout import Layout

    kind = family_of(real.pipeline)
    assert kind is not None
    made = {part: _made(cls, config) for part, (cls, config) in real.parts.items()}
    return Layout(
        path=Path(real.title),
        kind=kind,
        parts={part: cls for part, (cls, _) in real.parts.items()},
        configs={**{p: config for p, (_, config) in made.items()}, "scheduler": {}},
        weights={},
        numbers={part: number for part, (number, _) in made.items()},
        precision="bfloat16",
    )


def _made(cls: str, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        if hasattr(diffusers, cls):
            model = getattr(diffusers, cls)(**config)
            told = dict(model.config)
        else:
            kind = getattr(transformers, cls)
            model = kind(kind.config_class(**config))
            told = model.config.to_dict()
    return sum(parameter.numel() for parameter in model.parameters()), told


def _reals() -> list[Real]:
    read = json.loads(Path(__file__).with_name("real_models.json").read_text(encoding="utf-8"))
    shapes = {name: (shape["class"], shape["config"]) for name, shape in read["shapes"].items()}
    return [
        Real(
            model["title"],
            model["pipeline"],
            model["side"],
            {part: shapes[name] for part, name in model["parts"].items()},
        )
        for model in read["models"]
    ]
