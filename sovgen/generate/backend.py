"""Backend: what asks the denoiser at each step: torch, torch.compile or OpenVINO.

Only the innermost function is exchanged; diffusers' pipeline, and whatever watches or changes what
goes in and comes out, is the same around it. A graph is made for each shape, since a graph for all
shapes would depend on which came first, and so would pixels. Knows no prompts and no pixels.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from index.hashes import cache_folder
from sovgen.errors import BadRecipe
from sovgen.models.room import total_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

    Forward = Callable[..., tuple[Tensor, ...]]

# Numbers of a U-Net from which on OpenVINO is faster than torch, not only when it is asked alone.
_LARGE = 100_000_000
# Latents asked about that make up for preparing it, four times over at 256 pixels.
_REPAID = 400
# Bytes for each number while it is prepared, and how much of the machine's memory that may be.
_BYTES, _MOST = 16, 0.7
_TITLES = {"compile": "torch.compile", "openvino": "OpenVINO"}
# Shapes that one run may come by: sizes, batches, with guidance and without.
_SHAPES = 256
_REACHES_IN = {
    "loras": "a LoRA changes its weights",
    "adapter": "an IP-Adapter changes its attention",
    "control": "a ControlNet reaches into its blocks",
    "cache_interval": "a cache interval reaches into its blocks",
}


def refuse_backend(model: Model, recipe: Recipe) -> None:
    """Raise BadRecipe for a backend that is not here, or cannot do what the recipe wants."""
    backend = recipe.backend
    if backend in (None, "torch"):
        return
    if recipe.enlarges_alone:
        raise BadRecipe("An upscaler by itself draws with torch.", "Leave the backend out.")
    _REFUSALS[str(backend)](model.device)
    if model.moving:
        raise BadRecipe(
            f"{model.name} does not fit on {model.device}, where its parts take turns: only torch "
            "draws so.",
            "Leave the backend out, or choose a smaller --dtype.",
        )
    for name, why in _REACHES_IN.items():
        if getattr(recipe, name):
            raise BadRecipe(
                f"The backend {backend} asks the denoiser as a whole, and {why}.",
                "Leave one of them out.",
            )


def repaying(model: Model, recipe: Recipe, rows: int) -> str:
    """The backend for a filled recipe that names none: the fastest for so much drawing.

    rows: latents that the denoiser is asked about in the whole run, in this shape
    Only what was measured to be faster is chosen, which is OpenVINO for large U-Nets in float32 on
    a CPU; never by what memory is free or what an earlier run has kept, so that the same run is
    drawn the same again.
    """
    exact = (model.device, model.dtype, model.kind.denoiser) == ("cpu", "float32", "unet")
    if not exact or rows < _REPAID:
        return "torch"
    numbers = model.denoiser.num_parameters()
    if numbers < _LARGE or numbers * _BYTES > _MOST * total_bytes():
        return "torch"
    try:
        refuse_backend(model, replace(recipe, backend="openvino"))
    except BadRecipe:
        return "torch"
    return "openvino"


def slow_start(recipe: Recipe) -> list[str]:
    """What to expect of a filled recipe's backend in its first step, as sentences."""
    if recipe.backend in (None, "torch"):
        return []
    return [
        f"{_TITLES[recipe.backend]} prepares the denoiser in the first step of each size, which "
        "takes long unless an earlier run has done so and the cache folder still holds it."
    ]


@contextmanager
def asked_by(model: Model, backend: str | None) -> Iterator[None]:
    """Within, the model's denoiser is asked by that backend; None is torch."""
    if backend in (None, "torch"):
        yield
        return
    name = str(backend)
    if name not in model.compiled:
        model.compiled[name] = _MAKERS[name](model)
    denoiser = model.denoiser
    denoiser.forward = model.compiled[name]
    try:
        yield
    finally:
        del denoiser.forward


def backends_on(device: str) -> dict[str, str]:
    """Every backend, with what stands in its way on that device, or `ready`."""
    told = {"torch": "ready, and taken where no other repays what preparing it takes"}
    for name, refuse in _REFUSALS.items():
        try:
            refuse(device)
        except BadRecipe as error:
            told[name] = f"{error.message} {error.hint}"
        else:
            told[name] = "ready"
    return told


def _refuse_uncompiled(device: str) -> None:
    compiler = os.environ.get("CXX", "g++")
    if device == "cpu" and shutil.which(compiler) is None:
        raise BadRecipe(
            f"torch.compile needs a C++ compiler, and there is no {compiler}.",
            "Install g++, or name one in CXX; or leave the backend out.",
        )


def _refuse_openvino(device: str) -> None:
    if device != "cpu":
        raise BadRecipe(f"OpenVINO draws on a CPU here, not on {device}.", "Leave the backend out.")
    if find_spec("openvino") is None:
        raise BadRecipe("OpenVINO is not installed.", "Run: pip install 'sovgen[openvino]'")


def _compiled(model: Model) -> Forward:
    """Kernels are kept on disk between runs, in sovgen's own cache folder unless told otherwise."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    import torch
    from torch._dynamo import config

    # It warns of a GPU's compiler that is there without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    forward: Any = torch.compile(type(model.denoiser).forward, dynamic=False)

    def ask(*args: Any, **given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        # Past its own limit torch would go on uncompiled without a word.
        with config.patch(recompile_limit=_SHAPES, accumulated_recompile_limit=_SHAPES):
            answer: tuple[Tensor, ...] = forward(model.denoiser, *args, **given)
            return answer

    return ask


def _openvino(model: Model) -> Forward:
    from sovgen.generate.openvino import Converted

    return Converted(model)


_REFUSALS: dict[str, Callable[[str], None]] = {
    "compile": _refuse_uncompiled,
    "openvino": _refuse_openvino,
}
_MAKERS: dict[str, Callable[[Model], Forward]] = {"compile": _compiled, "openvino": _openvino}
