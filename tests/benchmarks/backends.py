"""torch, torch.compile and OpenVINO: one guided evaluation of a U-Net by each.

`python -m tests.benchmarks backends` asks the bundled U-Net and one of Stable Diffusion 1.5's shape
with random weights; `backends bundled` or `backends sd15` one of them. How far each is from what
torch gives in float32 tells whether it would draw the same picture. What the first call costs is
what a batch has to repay. OpenVINO takes part once it is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.benchmarks.fast import folder_of
from tests.benchmarks.measure import interleave, print_table, spread

ROUNDS = 3
CALLS = 3
# Latent channels, latent side, tokens and their width; how many pictures at once.
SHAPES = {"bundled": ((8, 16, 32, 256), (1, 8)), "sd15": ((4, 32, 77, 768), (1,))}

Ask = Callable[[], Any]


@dataclass(frozen=True)
class Backend:
    """A way to ask a U-Net: how it is made, and in which dtype torch holds the weights for it."""

    name: str
    dtype: str
    make: Callable[[Any, tuple[Any, ...]], Ask]


def main(arguments: Sequence[str]) -> None:
    import sovgen  # noqa: F401 - chooses how torch's threads wait, before torch is there

    for shape in arguments or SHAPES:
        for pictures in SHAPES[shape][1]:
            _print(shape, pictures)


def _print(shape: str, pictures: int) -> None:
    import torch

    from sovgen.models.load import load_model

    channels, side, tokens, width = SHAPES[shape][0]
    torch.manual_seed(0)
    sample = torch.randn(2 * pictures, channels, side, side)
    given = (sample, torch.tensor(500), torch.randn(2 * pictures, tokens, width))
    unets = {d: load_model(folder_of(shape), "cpu", d).denoiser for d in ("float32", "bfloat16")}
    exact = _plain(unets["float32"], given)()
    asks, first, apart = dict[str, Ask](), dict[str, float](), dict[str, float]()
    for backend in _backends():
        began = time.perf_counter()
        ask = backend.make(unets[backend.dtype], given)
        answer = torch.as_tensor(ask()).float()
        first[backend.name] = time.perf_counter() - began
        apart[backend.name] = float((answer - exact).norm() / exact.norm())
        asks[backend.name] = ask
    runs = interleave({name: lambda ask=ask: _spent(ask) for name, ask in asks.items()}, ROUNDS)
    rows = [
        [
            name,
            spread([wall for wall, _ in spent], 0),
            spread([processor for _, processor in spent], 0),
            f"{first[name]:.1f}",
            f"{apart[name]:.4f}",
        ]
        for name, spent in runs.items()
    ]
    columns = ["backend", "ms", "processor ms", "first call, s", "distance from float32"]
    title = f"One guided evaluation of a U-Net, {shape}, pictures at once: {pictures}"
    print_table(title, columns, rows)


def _backends() -> list[Backend]:
    found = [
        Backend("torch, float32", "float32", _plain),
        Backend("torch, bfloat16", "bfloat16", _plain),
        Backend("torch.compile, bfloat16", "bfloat16", _compiled),
        Backend("torch.compile, bfloat16, weights frozen", "bfloat16", _frozen),
    ]
    if find_spec("openvino"):
        found.append(Backend("OpenVINO, float32", "float32", _openvino("f32")))
        found.append(Backend("OpenVINO, bfloat16", "float32", _openvino("bf16")))
    return found


def _spent(ask: Ask) -> tuple[float, float]:
    """Milliseconds of one call: by the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        ask()
    spent = (time.perf_counter() - wall, time.process_time() - processor)
    return spent[0] * 1000 / CALLS, spent[1] * 1000 / CALLS


def _plain(unet: Any, given: tuple[Any, ...]) -> Ask:  # noqa: ANN401
    import torch

    def ask() -> Any:  # noqa: ANN401
        with torch.inference_mode():
            return unet(*given, return_dict=False)[0]

    return ask


def _compiled(unet: Any, given: tuple[Any, ...]) -> Ask:  # noqa: ANN401
    import torch

    return _plain(torch.compile(unet), given)


def _frozen(unet: Any, given: tuple[Any, ...]) -> Ask:  # noqa: ANN401
    """With the weights as constants, laid out once for the library that multiplies."""
    import torch
    from torch._inductor import config

    torch._dynamo.reset()
    ask = _plain(torch.compile(unet), given)

    def frozen() -> Any:  # noqa: ANN401
        with config.patch(freezing=True), torch.no_grad():
            return ask()

    return frozen


def _openvino(precision: str) -> Callable[[Any, tuple[Any, ...]], Ask]:
    def make(unet: Any, given: tuple[Any, ...]) -> Ask:  # noqa: ANN401
        import torch

        openvino: Any = import_module("openvino")

        class Plain(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.unet = unet

            def forward(self, sample: Any, step: Any, states: Any) -> Any:  # noqa: ANN401
                return self.unet(sample, step, states, return_dict=False)[0]

        with torch.no_grad():
            converted = openvino.convert_model(Plain().eval(), example_input=given)
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(converted, "CPU", settings)
        values = [tensor.numpy() for tensor in given]
        return lambda: compiled(values)[0]

    return make
