"""OpenVINO: a denoiser traced once for a size and run by another library on the CPU.

What was converted is kept on disk between runs, with the weights in it, under a name made of all
that it depends on. How many pictures are drawn together is left open in it, so that a picture does
not depend on who shares its batch. Knows tensors; knows nothing of recipes.
"""

from __future__ import annotations

import copy
import hashlib
import json
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.atomic import write_atomically
from index.errors import DiskFull, LibraryReadOnly
from index.hashes import cache_folder
from sovgen.errors import ModelUnsupported, first_line
from sovgen.offline import hold_reports_back

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

_PRECISION = {"float32": "f32", "bfloat16": "bf16"}


class Converted:
    """Takes what the denoiser's `forward` takes, and gives what that gives.

    Tensors may be of any shape and number; all else that it is called with is fixed in what was
    converted. Not for two threads at once.
    """

    def __init__(self, model: Model) -> None:
        hold_reports_back()
        self._model = model
        self._requests: dict[str, Any] = {}

    def __call__(self, *args: Any, **given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        import torch
        from torch.utils._pytree import tree_flatten

        leaves, form = tree_flatten((args, given))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        tensors = [t.float() if t.is_floating_point() else t for t in tensors]
        name = self._name(tensors, leaves)
        if name not in self._requests:
            compiled = self._found(name) or self._made(name, tensors, leaves, form)
            self._requests[name] = compiled.create_infer_request()
        asked = [tensor.contiguous().numpy() for tensor in tensors]
        answer = self._requests[name].infer(asked)
        return (torch.from_numpy(answer[0].copy()),)

    def _name(self, tensors: list[Tensor], leaves: list[Any]) -> str:
        """All that a conversion depends on, in short."""
        import torch

        model, batch = self._model, _batch(tensors)
        on = {
            "model": [model.hash, model.configuration, model.kind.denoiser, model.dtype],
            "shapes": [[str(t.dtype), _open(t, batch)] for t in tensors],
            "others": [repr(leaf) for leaf in leaves if not isinstance(leaf, torch.Tensor)],
            "threads": torch.get_num_threads(),
            "versions": [version(name) for name in ("openvino", "torch", "diffusers")],
        }
        return hashlib.sha256(json.dumps(on).encode()).hexdigest()[:32]

    def _found(self, name: str) -> Any:  # noqa: ANN401
        """What an earlier run has kept; None where it cannot be read by this library."""
        path = _folder() / name
        if not path.is_file():
            return None
        try:
            return _core().import_model(path.read_bytes(), "CPU", self._settings())
        except RuntimeError:
            return None

    def _made(self, name: str, tensors: list[Tensor], leaves: list[Any], form: Any) -> Any:  # noqa: ANN401
        try:
            converted = self._converted(tensors, leaves, form)
            compiled = _core().compile_model(converted, "CPU", self._settings())
        except RuntimeError as error:
            raise ModelUnsupported(
                f"OpenVINO cannot take the denoiser of {self._model.name}: {first_line(error)}",
                "Draw with torch: leave the backend out.",
            ) from error
        # Without room for it the next run converts again.
        with suppress(OSError, DiskFull, LibraryReadOnly):
            _folder().mkdir(parents=True, exist_ok=True)
            write_atomically(_folder() / name, compiled.export_model().getbuffer())
        return compiled

    def _converted(self, tensors: list[Tensor], leaves: list[Any], form: Any) -> Any:  # noqa: ANN401
        import openvino
        import torch
        from torch.utils._pytree import tree_unflatten

        # numpy has no bfloat16; how exactly it computes is a setting.
        denoiser = self._model.denoiser
        exact = denoiser if denoiser.dtype == torch.float32 else copy.deepcopy(denoiser).float()

        class Flat(torch.nn.Module):
            """The denoiser, called with its tensors alone."""

            def __init__(self) -> None:
                super().__init__()
                self.denoiser = exact

            def forward(self, *given: Tensor) -> Tensor:
                rest = iter(given)
                filled = [next(rest) if isinstance(x, torch.Tensor) else x for x in leaves]
                args, named = tree_unflatten(filled, form)
                answer: Tensor = type(exact).forward(exact, *args, **named)[0]
                return answer

        with torch.inference_mode(False), torch.no_grad():
            example = tuple(tensor.clone() for tensor in tensors)
            made = openvino.convert_model(Flat().eval(), example_input=example)
        batch = _batch(tensors)
        made.reshape({i: _open(tensor, batch) for i, tensor in enumerate(tensors)})
        return made

    def _settings(self) -> dict[str, Any]:
        import torch

        return {
            "INFERENCE_PRECISION_HINT": _PRECISION[self._model.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }


def _batch(tensors: list[Tensor]) -> int:
    """Rows of the latent, which is the first that a denoiser is given."""
    return len(tensors[0])


def _open(tensor: Tensor, batch: int) -> list[int]:
    """Its shape, with -1 for the rows of the batch."""
    shape = list(tensor.shape)
    return [-1, *shape[1:]] if len(shape) > 0 and shape[0] == batch else shape


@cache
def _core() -> Any:  # noqa: ANN401
    """One for as long as the process lives.

    Each (of 2026.4) puts a signal stack of its own in the place of the thread's, and puts back the
    one before when it goes: where two do not go in the order in which they came, the next signal
    ends the process.
    """
    import openvino

    return openvino.Core()


def _folder() -> Path:
    return cache_folder() / "openvino"
