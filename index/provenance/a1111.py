"""The text that AUTOMATIC1111's web UI writes, and half the field after it.

PNG text chunk `parameters`, or EXIF UserComment of a JPEG or WebP:

    the prompt, over as many lines as it likes
    Negative prompt: what to avoid, likewise
    Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: name, ...

The rules of reading are those of its `parse_generation_parameters`
(modules/infotext_utils.py): the last line holds parameters only with three pairs or more, and a
value in double quotes is JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

KEYWORD = "parameters"
# Theirs, with bounds that keep a long line of words from taking quadratic time.
_PAIR = re.compile(r'\s{0,9}(\w[\w \-/]{1,80}):\s{0,9}("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_LORA = re.compile(r"<lora:([^:<>]{1,200})(?::([-+]?[\d.]{1,9}))?[^<>]{0,200}>")
_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})")
# Behind the name of a refiner: `sd_xl_refiner_1.0 [7440042bbd]`.
_HASH = re.compile(r"\s*\[[0-9a-f]+\]$")
_NEGATIVE = "Negative prompt:"
_LEAST_PAIRS = 3
_LONGEST_LINE = 200_000
_LABELS = {
    "clip_skip": "Clip skip",
    "schedule": "Schedule type",
    "guidance_from": "Skip Early CFG",
    "vae": "VAE",
    "refiner": "Refiner",
    "refine_from": "Refiner switch at",
    "variation": "Variation seed strength",
    "variation_seed": "Variation seed",
}
# Its label in lower case, and what the column says.
_SCHEDULES = {
    "karras": "karras",
    "exponential": "exponential",
    "beta": "beta",
    "simple": "simple",
    "kl optimal": "kl optimal",
    "align your steps": "align your steps",
    "sgm uniform": "simple",
    "polyexponential": "exponential",
}
_KNOWN = frozenset(("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash"))


def read(metadata: Metadata) -> Making | None:
    """The making in A1111's text, or None when there is none."""
    written = metadata.texts.get(KEYWORD, "")
    if written.strip() and not values.table(values.parse(written)):
        return from_text(written)
    # anything may stand in a UserComment, a photographer's remark for one
    return from_text(metadata.comment) if has_parameters(metadata.comment) else None


def has_parameters(written: str) -> bool:
    """Whether the last line is one of parameters."""
    last = _lines(written)[-1]
    return len(last) <= _LONGEST_LINE and len(_PAIR.findall(last)) >= _LEAST_PAIRS


def from_text(written: str) -> Making:
    """The making that a text tells: all of it a prompt when it has no line of parameters."""
    lines = _lines(written)
    last = lines.pop() if has_parameters(written) else ""
    told = {key: _unquote(value.strip()) for key, value in _PAIR.findall(last)}
    prompt, negative = _split(lines)
    settings = _settings(told, prompt)
    size = _SIZE.fullmatch(told.get("Size", ""))
    return Making(
        producer="a1111",
        prompt=values.text(prompt),
        negative=values.text(negative),
        model=values.filled(told.get("Model")),
        model_hash=values.filled(told.get("Model hash")),
        sampler=values.filled(told.get("Sampler")),
        steps=values.count(told.get("Steps")),
        guidance=values.number(told.get("CFG scale")),
        seed=values.whole(told.get("Seed")),
        width=values.count(size[1]) if size else None,
        height=values.count(size[2]) if size else None,
        settings=settings,
        extra=values.rest(told, _KNOWN.union(_LABELS.get(name, "") for name in settings)),
    )


def _settings(told: Mapping[str, str], prompt: str) -> dict[str, object]:
    """What has a column and is a value of it, by the column's name.

    The prompt keeps its LoRAs, which it names with their weights.
    """
    loras = tuple(f"{name}:{weight or 1}" for name, weight in _LORA.findall(prompt))
    found = {
        "clip_skip": values.count(told.get(_LABELS["clip_skip"])),
        "schedule": _SCHEDULES.get(told.get(_LABELS["schedule"], "").lower()),
        "loras": loras or None,
        "vae": values.filled(told.get(_LABELS["vae"])),
        "guidance_from": values.number(told.get(_LABELS["guidance_from"])),
        **_both(
            refiner=_HASH.sub("", told.get(_LABELS["refiner"], "")) or None,
            refine_from=values.number(told.get(_LABELS["refine_from"])),
        ),
        **_both(
            variation=values.number(told.get(_LABELS["variation"])),
            variation_seed=values.whole(told.get(_LABELS["variation_seed"])),
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


def _both(**pair: object) -> dict[str, object]:
    """Two settings of which neither says anything alone."""
    return {} if None in pair.values() else pair


def _lines(written: str) -> list[str]:
    return written.strip().split("\n")


def _split(lines: list[str]) -> tuple[str, str]:
    """Prompt and negative prompt: the second begins at its label and takes every line after."""
    for number, line in enumerate(lines):
        if line.strip().startswith(_NEGATIVE):
            first = line.strip()[len(_NEGATIVE) :].strip()
            rest = [later.strip() for later in lines[number + 1 :]]
            return _join(lines[:number]), "\n".join([first, *rest]).strip()
    return _join(lines), ""


def _join(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines).strip()


def _unquote(value: str) -> str:
    if not (len(value) > 1 and value[0] == value[-1] == '"'):
        return value
    inside = values.parse(value)
    return inside if isinstance(inside, str) else value
