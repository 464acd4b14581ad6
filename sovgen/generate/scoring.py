"""Scoring: SDXL's refiner is told how beautiful a picture is, where SDXL is told its size.

The pipeline that draws from words gives both halves of guidance one and the same size; the
negative's score is put into its half on the way in. Knows nothing of prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sovgen.models.model import Model


def told_sizes(model: Model) -> dict[str, tuple[float, ...]]:
    """What the pipeline is called with: the score in place of the size that is aimed at."""
    return {} if model.kind.scores is None else {"target_size": model.kind.scores[:1]}


@contextmanager
def scored(model: Model, pipe: Any) -> Iterator[None]:  # noqa: ANN401
    """Within, the negative's half has the score of a negative."""
    if model.kind.scores is None:
        yield
        return
    negative = model.kind.scores[1]

    def score(_: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, Any]:  # noqa: ANN401
        if not pipe.do_classifier_free_guidance:
            return args, given
        added = given["added_cond_kwargs"]
        ids = added["time_ids"].clone()
        ids[: len(ids) // 2, -1] = negative
        return args, {**given, "added_cond_kwargs": {**added, "time_ids": ids}}

    hook = model.denoiser.register_forward_pre_hook(score, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
