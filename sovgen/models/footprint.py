"""Footprint: the memory that drawing takes, worked out without loading a model.

The denoiser and the decoder are built on torch's meta device, which knows shapes and holds no
numbers, and run once; what would be alive at the same time is added up. Attention counts as it is
computed today, in blocks, never as a whole matrix. On a CPU the C library keeps small blocks that
were freed. What a library needs of its own for one convolution or product is not seen, nor are the
libraries themselves.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.models.compute import part_dtypes
from sovgen.models.layout import Layout
from sovgen.models.questions import question
from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# From so many bytes on the C library maps a block of memory by itself, and gives it back at once;
# smaller ones it keeps for whoever asks next (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX).
_MAPPED = 32 << 20


@dataclass(frozen=True)
class Footprint:
    """Bytes.

    weights: of all parts, in the dtype that each is computed in
    drawing: what one step of the denoiser takes beside them; with guidance of both its halves
    decoding: what decoding one picture takes beside them
    kept: what of drawing's memory is free and yet not given back when decoding begins
    """

    weights: int
    drawing: int
    decoding: int
    kept: int = 0

    @property
    def peak(self) -> int:
        """The most at any time."""
        return self.weights + max(self.drawing, self.decoding + self.kept)


def footprint(
    layout: Layout, width: int, height: int, device: str, dtype: str, pictures: int = 1
) -> Footprint:
    """What drawing so many pictures of so many pixels at once takes; pictures decode one by one."""
    with libraries_held_back():
        dtypes = part_dtypes(device, dtype, layout)
        return _footprint(layout, width, height, dtypes, pictures, keeps=device == "cpu")


def _footprint(
    layout: Layout,
    width: int,
    height: int,
    dtypes: dict[str, torch.dtype],
    pictures: int,
    *,
    keeps: bool,
) -> Footprint:
    import torch

    default = dtypes["default"]
    chosen = {part: dtypes.get(part, default) for part in layout.numbers}
    weights = sum(count * chosen[part].itemsize for part, count in layout.numbers.items())
    denoiser = _on_meta(layout, layout.kind.denoiser, chosen[layout.kind.denoiser])
    decoder = _on_meta(layout, "vae", chosen["vae"])
    latent = torch.empty(
        (
            1,
            int(layout.configs["vae"].get("latent_channels", 4)),
            height // layout.cell,
            width // layout.cell,
        ),
        dtype=chosen["vae"],
        device="meta",
    )
    asked = question(layout, pictures, width, height, denoiser.dtype)
    drawing, small = _most_alive(lambda: denoiser(**asked))
    decoding, _ = _most_alive(lambda: decoder.decode(latent))
    return Footprint(weights, drawing, decoding, kept=small if keeps else 0)


def _on_meta(layout: Layout, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    import diffusers
    import torch

    # The first PixArt folders name a class that diffusers later took apart.
    name = layout.parts[part]
    name = "PixArtTransformer2DModel" if name == "Transformer2DModel" else name
    with torch.device("meta"):
        return getattr(diffusers, name).from_config(dict(layout.configs[part])).to(dtype)


def _most_alive(run: Any) -> tuple[int, int]:  # noqa: ANN401
    """The most bytes of tensors alive at the same time while it runs: of all, and of small ones."""
    import torch

    alive = _alive()
    with torch.no_grad(), _attention_in_blocks(), alive:
        run()
    return int(alive.most), int(alive.most_small)


def _alive() -> Any:  # noqa: ANN401
    """A mode that counts every tensor that is made, until the last view of it is gone."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Alive(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.now = self.most = self.small = self.most_small = 0
            self.known: set[int] = set()

        def __torch_dispatch__(
            self,
            func: Any,  # noqa: ANN401
            types: Any,  # noqa: ANN401
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:  # noqa: ANN401
            given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if _is(t)}
            result = func(*args, **(kwargs or {}))
            for made in tree_leaves(result):
                if _is(made) and id(made.untyped_storage()) not in given:
                    self.count(made.untyped_storage())
            return result

        def count(self, storage: Any) -> None:  # noqa: ANN401
            key = id(storage)
            if key in self.known:
                return
            self.known.add(key)
            self.grow(storage.nbytes(), 1)
            weakref.finalize(storage, self.gone, key, storage.nbytes())

        def grow(self, size: int, sign: int) -> None:
            self.now += sign * size
            self.small += sign * size if size < _MAPPED else 0
            self.most = max(self.most, self.now)
            self.most_small = max(self.most_small, self.small)

        def gone(self, key: int, size: int) -> None:
            self.known.discard(key)
            self.grow(size, -1)

    def _is(value: object) -> bool:
        return isinstance(value, torch.Tensor)

    return Alive()


def _attention_in_blocks() -> Any:  # noqa: ANN401
    """A mode in which attention gives its result and makes nothing else, as its kernels do."""
    import torch
    from torch.overrides import TorchFunctionMode

    attend = torch.nn.functional.scaled_dot_product_attention

    class InBlocks(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Any,  # noqa: ANN401
            types: Any,  # noqa: ANN401
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:  # noqa: ANN401
            if func is attend:
                return _attended(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    def _attended(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:  # noqa: ANN401
        return query.new_empty((*query.shape[:-1], value.shape[-1]))

    return InBlocks()
