"""How many pictures are drawn at once, and what happens when they do not fit.

The size of a batch depends on the device and the size of the pictures alone, never on what memory
happens to be free, so that the same recipes form the same batches. Knows nothing of diffusion.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from sovgen.errors import OutOfMemory

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

Job = TypeVar("Job")
Drawn = TypeVar("Drawn")

# Pixels drawn at once: more gain nothing on a CPU and only delay the first picture.
_PIXELS_ON_CPU = 8 * 128 * 128
_PIXELS_ON_GPU = 4 * 512 * 512
_ALLOCATORS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def batch_size(model: Model, recipe: Recipe) -> int:
    """Pictures of the recipe's size to draw at once, at least 1."""
    pixels = _PIXELS_ON_CPU if model.device == "cpu" else _PIXELS_ON_GPU
    return max(1, pixels // ((recipe.width or 1) * (recipe.height or 1)))


def draw_within_memory(
    jobs: Sequence[Job],
    draw: Callable[[Sequence[Job]], list[Drawn]],
    on_notice: Callable[[str], None],
) -> Iterator[Drawn]:
    """Draw the jobs together; when memory runs out, once more one by one, and say so.

    Raises OutOfMemory when one alone does not fit; what was drawn before it stands.
    """
    drawn = _try(jobs, draw)
    if drawn is not None:
        yield from drawn
        return
    if len(jobs) == 1:
        raise _too_large()
    on_notice(f"{len(jobs)} pictures at once do not fit into memory: drawing one by one.")
    for job in jobs:
        alone = _try([job], draw)
        if alone is None:
            raise _too_large()
        yield from alone


def _try(jobs: Sequence[Job], draw: Callable[[Sequence[Job]], list[Drawn]]) -> list[Drawn] | None:
    """None when memory ran out; by then what the attempt held is free again."""
    try:
        return draw(jobs)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    # Only here has the error let go of the frames that hold the tensors.
    _free()
    return None


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error) for words in _ALLOCATORS)


def _free() -> None:
    import torch

    gc.collect()
    for backend in (torch.cuda, torch.mps, torch.xpu):
        if backend.is_available():
            backend.empty_cache()


def _too_large() -> OutOfMemory:
    return OutOfMemory(
        "Not even one picture of this size fits into memory.",
        "Choose a smaller --size, or close what else uses the memory.",
    )
