"""Reuse: the denoiser's deep features, computed at every n-th evaluation and taken again between.

What a U-Net computes at low resolution hardly changes from one step to the next, and is most of its
work. Between two full evaluations only the way in and the way out at the highest resolution run:
the first layer, the last two, and the convolutions around them. After DeepCache (Ma et al. 2023,
2312.00858), by diffusers' own hooks. Knows a U-Net's blocks; knows nothing of prompts or samplers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_NAME = "sovgen_reuse"
# Layers at the end of the last block that run each time, with the skips that reach them.
_FRESH = 2


class _Clock:
    """Says whether the evaluation under way is one that takes again what was computed before."""

    def __init__(self, interval: int) -> None:
        self._interval, self._since, self._shape = interval, 0, None
        self.again = False

    def tick(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each evaluation. One of another shape, as where guidance ends, begins anew."""
        shape = (args[0] if args else kwargs["sample"]).shape
        self._since = self._since + 1 if shape == self._shape else 0
        self._since %= self._interval
        self._shape = shape
        self.again = self._since > 0


@contextmanager
def reused(pipe: Any, interval: int | None) -> Iterator[None]:  # noqa: ANN401
    """Within, deep features are computed at every `interval`-th evaluation; None computes all.

    pipe: with a U-Net that has two levels or more
    """
    if interval is None:
        yield
        return
    clock, deep = _Clock(interval), deep_parts(pipe.unet)
    ticking = pipe.unet.register_forward_pre_hook(clock.tick, with_kwargs=True)
    try:
        for part in deep:
            _keep(part, clock)
        yield
    finally:
        ticking.remove()
        for part in deep:
            _release(part)


def deep_parts(unet: Any) -> list[nn.Module]:  # noqa: ANN401 - diffusers' attributes are untyped
    """The modules whose results are taken again."""
    first, *lower = unet.down_blocks
    *higher, last = unet.up_blocks
    within = [*_layers(first, slice(1, None)), *_layers(last, slice(None, -_FRESH))]
    below = [*(first.downsamplers or ()), *lower, unet.mid_block, *higher]
    return [part for part in within + below if part is not None]


def _layers(block: Any, which: slice) -> list[nn.Module]:  # noqa: ANN401
    return [*block.resnets[which], *getattr(block, "attentions", ())[which]]


def _keep(part: nn.Module, clock: _Clock) -> None:
    from diffusers.hooks.hooks import HookRegistry, ModelHook

    class Kept(ModelHook):
        def new_forward(self, _: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if not clock.again:
                inner: Any = self.fn_ref
                self.result = inner.original_forward(*args, **kwargs)
            return self.result

    hook: ModelHook = Kept()  # type: ignore[no-untyped-call]
    HookRegistry.check_if_exists_or_initialize(part).register_hook(hook, _NAME)


def _release(part: nn.Module) -> None:
    from diffusers.hooks.hooks import HookRegistry

    HookRegistry.check_if_exists_or_initialize(part).remove_hook(_NAME, recurse=False)
