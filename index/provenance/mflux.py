"""mflux: JSON in the EXIF UserComment, known by its key `mflux_version`.

{"mflux_version", "model", "seed", "steps", "guidance", "width", "height", "precision", "prompt",
"negative_prompt", "generation_time_seconds", "created_at", "lora_paths", ...}. Paths are the
writer's own folders, so only file names of LoRAs are kept. After mflux's generated_image.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PureWindowsPath

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

_KNOWN = frozenset(
    "model seed steps guidance width height precision prompt negative_prompt "
    "generation_time_seconds lora_paths image_path image_paths controlnet_image_path "
    "masked_image_path depth_image_path redux_image_paths original_lora_paths".split()
)


def read(metadata: Metadata) -> Making | None:
    """The making that mflux wrote, or None."""
    told = values.table(values.parse(metadata.comment))
    if "mflux_version" not in told:
        return None
    precision = values.filled(told.get("precision")) or ""
    return Making(
        producer="mflux",
        prompt=values.text(told.get("prompt")),
        negative=values.text(told.get("negative_prompt")),
        model=values.filled(told.get("model")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("guidance")),
        seed=values.whole(told.get("seed")),
        width=values.count(told.get("width")),
        height=values.count(told.get("height")),
        dtype=precision.rpartition(".")[2] or None,
        duration=values.seconds(told.get("generation_time_seconds")),
        extra=values.rest(told, _KNOWN) | _loras(told),
    )


def _loras(told: Mapping[str, object]) -> dict[str, object]:
    paths = [values.text(path) or "" for path in values.rows(told.get("lora_paths"))]
    # a Windows path splits at both kinds of slash
    names = [PureWindowsPath(path).name for path in paths]
    return {"loras": names} if names else {}
