"""How many pictures are drawn at once, and what happens when they do not fit.

The size of a batch depends on the device and the size of the pictures alone, never on what memory
happens to be free, so that the same recipes form the same batches; only what would not fit at all
is decoded in tiles. Knows nothing of diffusion.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from sovgen.errors import OutOfMemory
from sovgen.models.room import decoding_bytes, free_bytes

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

Job = TypeVar("Job")
Drawn = TypeVar("Drawn")

# Pixels drawn at once: more gain nothing on a CPU and only delay the first picture.
_PIXELS_ON_CPU = 8 * 128 * 128
_PIXELS_ON_GPU = 4 * 512 * 512
_MOST = 0.7  # of the free memory, for decoding one picture whole
_ALLOCATORS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def batch_size(model: Model, recipe: Recipe) -> int:
    """Pictures of the recipe's size to draw at once, at least 1."""
    pixels = _PIXELS_ON_CPU if model.device == "cpu" else _PIXELS_ON_GPU
    return max(1, pixels // ((recipe.width or 1) * (recipe.height or 1)))


def draw_within_memory(
    jobs: Sequence[Job],
    draw: Callable[[Sequence[Job]], list[Drawn]],
    spared: Callable[[Job], Job],
    on_notice: Callable[[str], None],
) -> Iterator[Drawn]:
    """Draw the jobs together; when memory runs out, once more one by one, and say so.

    spared: a job as it takes less memory

    Raises OutOfMemory when one alone does not fit; what was drawn before it stands.
    """
    drawn = _try(jobs, draw)
    if drawn is not None:
        yield from drawn
        return
    on_notice(f"{_count(len(jobs))} not fit into memory: drawing one by one, decoding in tiles.")
    for job in jobs:
        alone = _try([spared(job)], draw)
        if alone is None:
            raise _too_large()
        yield from alone


def decodes_in_tiles(model: Model, recipe: Recipe) -> bool:
    """Whether decoding a picture of the recipe's size whole would take most of the free memory.

    What says how it is decoded, or is not, is left alone.
    """
    if recipe.vae_tile is not None or recipe.enlarges_alone:
        return False
    vae, free = model.pipe.vae, free_bytes(model.device)
    size = next(vae.parameters()).element_size()
    need = decoding_bytes(vae.config, recipe.width or 0, recipe.height or 0, size)
    return free is not None and need > _MOST * free


def _count(pictures: int) -> str:
    return "One picture does" if pictures == 1 else f"{pictures} pictures at once do"


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
