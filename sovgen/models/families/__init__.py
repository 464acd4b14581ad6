"""families: every kind of model that sovgen draws with, one file each; configurations beside."""

from __future__ import annotations

from sovgen.models.families.flux import FLUX
from sovgen.models.families.pixart import PIXART
from sovgen.models.families.sana import SANA
from sovgen.models.families.stable_diffusion import SD, SDXL, SDXL_REFINER
from sovgen.models.families.stable_diffusion_3 import SD3
from sovgen.models.family import Family

__all__ = ["FAMILIES", "FLUX", "PIXART", "SANA", "SD", "SD3", "SDXL", "SDXL_REFINER", "family_of"]

FAMILIES = (SD, SDXL, SD3, FLUX, PIXART, SANA)


def family_of(pipeline: object) -> Family | None:
    """The family that a pipeline class belongs to, None where sovgen has none."""
    for family in FAMILIES:
        if pipeline == family.pipeline or pipeline in family.aliases:
            return family
    return None
