"""What a recipe takes where it says nothing, for each kind of model.

The card's own advice comes first, then what the family is usually drawn with. Knows nothing of
pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sovgen.models.card import Card
from sovgen.models.layout import Layout
from sovgen.samplers import name_of


@dataclass(frozen=True)
class Defaults:
    """Steps, guidance (as in Recipe) and the name of the model's own sampler."""

    steps: int
    guidance: float
    sampler: str


def choose_defaults(
    layout: Layout, card: Card, scheduler: str, config: Mapping[str, object]
) -> Defaults:
    """The defaults of a model whose own scheduler is of that class and configuration."""
    steps, guidance = layout.kind.defaults(layout.configs)
    return Defaults(
        steps=card.steps or steps,
        guidance=guidance if card.guidance is None else card.guidance,
        sampler=name_of(scheduler, config),
    )
