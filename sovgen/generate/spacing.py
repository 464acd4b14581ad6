"""Spacing: noise levels that diffusers' schedulers have no setting for.

A scheduler that can follow Karras' levels asks one function of itself for them; here another takes
its place, so that everything around it stays diffusers' own. Knows nothing of models.

Source: Sabour, Fidler & Kreis 2024 (Align Your Steps), arXiv:2404.14507.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sovgen.errors import BadRecipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Levels = NDArray[np.float64]

SPACINGS = ("kl optimal", "align your steps")
# Where the authors' levels end; diffusers writes the zero in its place that comes after it.
_LAST_ALIGNED = 0.029


def space(scheduler: Any, schedule: str, aligned: str | None) -> Any:  # noqa: ANN401
    """The same scheduler, made to follow Karras' levels, following those of SPACINGS instead.

    aligned: as in Family. Raises BadRecipe when no levels were worked out for the model.
    """
    table = _aligned(aligned) if schedule == "align your steps" else None
    kept = scheduler.alphas_cumprod
    # All of the model's own, of which diffusers' spacing of timesteps may leave out the ends.
    least, most = (float(((1 - kept[i]) / kept[i]) ** 0.5) for i in (0, -1))

    def levels(in_sigmas: Levels, num_inference_steps: int | None = None) -> Levels:
        steps = num_inference_steps or int(scheduler.num_inference_steps)
        return kl_optimal(most, least, steps) if table is None else between(table, steps)

    scheduler._convert_to_karras = levels
    return scheduler


def kl_optimal(most: float, least: float, steps: int) -> Levels:
    """(steps,) from most to least, evenly spaced in the arc tangent."""
    import numpy as np

    return np.tan(np.linspace(np.arctan(most), np.arctan(least), steps))


def between(table: Levels, steps: int) -> Levels:
    """(steps,) along a table of levels, interpolated in the logarithm."""
    import numpy as np

    at = np.linspace(0, len(table) - 1, steps)
    return np.exp(np.interp(at, np.arange(len(table)), np.log(table)))


def _aligned(name: str | None) -> Levels:
    import numpy as np
    from diffusers.schedulers.scheduling_utils import AysSchedules

    if name is None:
        raise BadRecipe(
            "The schedule align your steps was worked out for Stable Diffusion 1.5 and XL alone.",
            "Use karras or kl optimal.",
        )
    tables: Any = AysSchedules
    return np.array([*tables[name][:-1], _LAST_ALIGNED])
