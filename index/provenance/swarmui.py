"""SwarmUI: JSON where A1111 has text, in `parameters` or the EXIF UserComment.

    {"sui_image_params": {"prompt", "negativeprompt", "model", "seed", "steps", "cfgscale",
     "width", "height", "sampler", ...}, "sui_extra_data": {"date", "generation_time": "4.84 sec"},
     "sui_models": [{"name", "param", "hash": "0x..."}]}

After SwarmUI's own description of its image metadata format.
"""

from __future__ import annotations

from collections.abc import Mapping

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

_KNOWN = frozenset(
    "prompt negativeprompt model seed steps cfgscale width height sampler images".split()
)


def read(metadata: Metadata) -> Making | None:
    """The making that SwarmUI wrote, or None."""
    for written in (metadata.texts.get("parameters"), metadata.comment):
        whole = values.table(values.parse(written))
        told = values.table(whole.get("sui_image_params"))
        if told:
            return _making(told, whole)
    return None


def _making(told: Mapping[str, object], whole: Mapping[str, object]) -> Making:
    more = values.table(whole.get("sui_extra_data"))
    return Making(
        producer="swarmui",
        prompt=values.text(told.get("prompt")),
        negative=values.text(told.get("negativeprompt")),
        model=values.filled(told.get("model")),
        model_hash=_model_hash(whole.get("sui_models")),
        sampler=values.filled(told.get("sampler")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("cfgscale")),
        seed=values.whole(told.get("seed")),
        width=values.count(told.get("width")),
        height=values.count(told.get("height")),
        duration=values.seconds(more.get("generation_time")),
        extra=values.rest(told, _KNOWN) | values.rest(more, frozenset(("generation_time",))),
    )


def _model_hash(models: object) -> str | None:
    for model in map(values.table, values.rows(models)):
        if model.get("param") == "model":
            found = values.filled(model.get("hash"))
            return found.removeprefix("0x") if found else None
    return None
