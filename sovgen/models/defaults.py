"""What a recipe takes where it says nothing, for each kind of model.

The card's own advice comes first, then what the family is usually drawn with. Knows nothing of
pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sovgen.models.card import Card
from sovgen.models.layout import FAMILIES, SD, SD2, SDXL
from sovgen.samplers import name_of


@dataclass(frozen=True)
class Defaults:
    """Steps, guidance (as in Recipe) and the name of the model's own sampler."""

    steps: int
    guidance: float
    sampler: str


_OF_FAMILY = {FAMILIES[SD]: (25, 7.0), SD2: (25, 7.0), FAMILIES[SDXL]: (30, 5.0)}
# A scheduler of distilled weights: a handful of steps, and guidance is already in the weights.
_FEW_STEPS = {"LCMScheduler": (4, 1.0), "TCDScheduler": (4, 1.0)}


def choose_defaults(
    family: str, card: Card, scheduler: str, config: Mapping[str, object]
) -> Defaults:
    """The defaults of a model whose own scheduler is of that class and configuration."""
    steps, guidance = _FEW_STEPS.get(scheduler) or _OF_FAMILY[family]
    return Defaults(
        steps=card.steps or steps,
        guidance=guidance if card.guidance is None else card.guidance,
        sampler=name_of(scheduler, config),
    )
