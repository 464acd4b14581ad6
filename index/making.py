"""How a picture was made, whichever program made it.

A Making is read from a file by `index.provenance`, or handed over by whoever drew the picture,
and becomes one row of the table `makings`. It knows nothing of files, hosts or folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

# What a making may have beside a prompt and a size, by column, with the DuckDB type. Pictures are
# named by their ids; a weight follows a name after a colon, as in "clipart:0.8".
SETTINGS: Mapping[str, str] = {
    "backend": "VARCHAR",
    "clip_skip": "INTEGER",
    "schedule": "VARCHAR",
    "guidance_rescale": "DOUBLE",
    "guidance_from": "DOUBLE",
    "guidance_until": "DOUBLE",
    "cache_interval": "INTEGER",
    "vae_tile": "INTEGER",
    "variation": "DOUBLE",
    "variation_seed": "UBIGINT",
    "init": "VARCHAR",
    "strength": "DOUBLE",
    "mask": "VARCHAR",
    "margins": "VARCHAR",
    "upscale": "DOUBLE",
    "upscaler": "VARCHAR",
    "tile": "INTEGER",
    "transparent": "BOOLEAN",
    "refiner": "VARCHAR",
    "refine_from": "DOUBLE",
    "loras": "VARCHAR[]",
    "embeddings": "VARCHAR[]",
    "vae": "VARCHAR",
    "control": "VARCHAR",
    "control_image": "VARCHAR",
    "control_weight": "DOUBLE",
    "adapter": "VARCHAR",
    "reference": "VARCHAR[]",
}


@dataclass(frozen=True)
class Making:
    """One making of one picture; what is not known is None.

    `guidance` is as in diffusers: neg + s * (pos - neg). `duration` is in seconds. `made` carries
    its zone. `encoder_match` says how the pipeline's text tower compares with the library's CLIP:
    shared, equal, different or no CLIP. `settings` holds those of SETTINGS that are known, lists as
    tuples; `extra` what has no column, as plain JSON values.
    """

    producer: str
    prompt: str | None = None
    negative: str | None = None
    model: str | None = None
    model_hash: str | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    device: str | None = None
    dtype: str | None = None
    duration: float | None = None
    encoder_match: str | None = None
    safety: str | None = None
    made: datetime | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
