"""Objective: what the loop needs to know of a thing that is learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

    from sovgen.train.chance import Chance


Batch: TypeAlias = Any  # each objective has its own kind


class Objective(Protocol):
    """One thing to learn: its network, its batches, its loss, and how it is shown and kept."""

    name: str
    samples_before: int
    """How many samples the part had seen when this training began."""

    @property
    def learner(self) -> nn.Module:
        """The network; its parameters that require a gradient are trained, averaged and kept."""

    def batch(self, chance: Chance, size: int) -> Batch:
        """`size` samples, a function of chance alone; tensors on the CPU."""

    def loss(self, learner: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss, shape (), and figures worth a line in the metrics. `learner` may be wrapped."""

    def validate(self) -> dict[str, float]:
        """Figures on held-out data, the same noise every time; the learner holds the average."""

    def sheet(self) -> Image:
        """A page of samples, the same seeds every time; the learner holds the average."""

    def write(self, folder: Path, samples: int) -> None:
        """Writes the part, fp16, in its standard format into a model folder, whole or not."""
