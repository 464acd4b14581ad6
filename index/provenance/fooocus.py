"""Fooocus: `fooocus_scheme` says in which of two ways `parameters` is written.

PNG text chunks `parameters` and `fooocus_scheme`; in JPEG and WebP the EXIF UserComment and
MakerNote, with Software `Fooocus v...`. Scheme `fooocus` is flat JSON, scheme `a1111` is A1111's
text with `Raw prompt` among its pairs. The author's name that either may hold is left out. After
Fooocus' modules/meta_parser.py.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from index.making import Making
from index.provenance import a1111, values
from index.provenance.metadata import MAKER_NOTE, SOFTWARE, Metadata

_KNOWN = frozenset(
    "prompt negative_prompt full_prompt full_negative_prompt base_model base_model_hash sampler "
    "steps guidance_scale seed resolution created_by metadata_scheme loras".split()
)
_SIZE = re.compile(r"\(?\s*(\d{1,6})\s*[,x×*]\s*(\d{1,6})")
_AUTHOR = "User"


def read(metadata: Metadata) -> Making | None:
    """The making that Fooocus wrote, or None."""
    scheme = metadata.texts.get("fooocus_scheme") or metadata.exif.get(MAKER_NOTE, "")
    if scheme not in ("fooocus", "a1111"):
        return None
    written = metadata.texts.get("parameters") or metadata.comment
    if scheme == "a1111":
        return _from_text(written)
    told = values.table(values.parse(written))
    version = metadata.exif.get(SOFTWARE)
    return _from_json(told, version) if told else None


def _from_json(told: Mapping[str, object], version: str | None) -> Making:
    width, height = _size(told.get("resolution"))
    more = values.rest(told, _KNOWN) | values.rest({"Software": version}, frozenset())
    return Making(
        producer="fooocus",
        prompt=values.text(told.get("prompt")),
        negative=values.text(told.get("negative_prompt")),
        model=values.filled(told.get("base_model")),
        model_hash=values.filled(told.get("base_model_hash")),
        sampler=values.filled(told.get("sampler")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("guidance_scale")),
        seed=values.whole(told.get("seed")),
        width=width,
        height=height,
        extra=more,
    )


def _from_text(written: str) -> Making | None:
    if not a1111.has_parameters(written):
        return None
    making = a1111.from_text(written)
    extra = {key: value for key, value in making.extra.items() if key != _AUTHOR}
    prompt = values.filled(extra.pop("Raw prompt", None)) or making.prompt
    negative = values.filled(extra.pop("Raw negative prompt", None)) or making.negative
    return dataclasses.replace(
        making, producer="fooocus", prompt=prompt, negative=negative, extra=extra
    )


def _size(resolution: object) -> tuple[int | None, int | None]:
    """`(1152, 896)`, as Python prints a pair."""
    found = _SIZE.match(values.text(resolution) or "")
    return (int(found[1]), int(found[2])) if found else (None, None)
