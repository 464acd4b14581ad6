"""NovelAI: PNG text chunks `Software` = NovelAI, `Source` (the model) and `Comment` (JSON).

`Comment` holds {"prompt", "uc", "steps", "scale", "seed", "sampler", "width", "height", ...}, from
version 4 on with {"v4_prompt": {"caption": {"base_caption", "char_captions"}}} beside it; the
earliest files have the prompt in `Description` alone. A WebP holds the same keys as one JSON object
in the EXIF UserComment.
"""

from __future__ import annotations

from collections.abc import Mapping

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

_KNOWN = frozenset(
    "prompt uc steps scale seed sampler width height v4_prompt v4_negative_prompt "
    "signed_hash".split()
)


def read(metadata: Metadata) -> Making | None:
    """The making that NovelAI wrote, or None."""
    for chunks in (metadata.texts, values.table(values.parse(metadata.comment))):
        if chunks.get("Software") == "NovelAI":
            return _making(chunks)
    return None


def _making(chunks: Mapping[str, object]) -> Making:
    told = values.table(values.parse(values.text(chunks.get("Comment"))))
    prompt = values.filled(told.get("prompt")) or values.filled(chunks.get("Description"))
    captions = {
        "characters": _characters(told.get("v4_prompt")),
        "negative characters": _characters(told.get("v4_negative_prompt")),
    }
    return Making(
        producer="novelai",
        prompt=prompt or _caption(told.get("v4_prompt")),
        negative=values.text(told.get("uc")) or _caption(told.get("v4_negative_prompt")),
        model=values.filled(chunks.get("Source")),
        sampler=values.filled(told.get("sampler")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("scale")),
        seed=values.whole(told.get("seed")),
        width=values.count(told.get("width")),
        height=values.count(told.get("height")),
        duration=values.seconds(chunks.get("Generation time")),
        extra=values.rest(told, _KNOWN) | values.rest(captions, frozenset()),
    )


def _caption(prompt: object) -> str | None:
    caption = values.table(values.table(prompt).get("caption"))
    return values.text(caption.get("base_caption"))


def _characters(prompt: object) -> list[object]:
    caption = values.table(values.table(prompt).get("caption"))
    parts = map(values.table, values.rows(caption.get("char_captions")))
    return [said for part in parts if (said := values.filled(part.get("char_caption")))]
