"""InvokeAI: flat JSON in the PNG text chunk `invokeai_metadata`; `sd-metadata` and `Dream` before.

Version 3 and later: {"positive_prompt", "negative_prompt", "width", "height", "seed", "steps",
"cfg_scale", "scheduler", "rand_device", "model": {"name"|"model_name", "hash"}, ...}. Version 2
nests the fields under `image`, with the negative prompt in square brackets inside the prompt;
before that, `Dream` holds a command line. After InvokeAI's invocations/metadata.py and its files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

_KNOWN = frozenset(
    "positive_prompt negative_prompt width height seed steps cfg_scale scheduler model "
    "init_image".split()
)
_OLD_IMAGE = frozenset("prompt steps cfg_scale height width seed sampler init_image_path".split())
_OLD = frozenset("model model_weights model_hash image model_list".split())
_DREAM = re.compile(r'"((?:\\.|[^"\\])*)"((?: -\w+(?: ?[\w.+-]+)?)*)')
_SWITCH = re.compile(r"-([sSWHCA]) ?([\w.+-]+)")
_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")


def read(metadata: Metadata) -> Making | None:
    """The making that InvokeAI wrote, or None."""
    told = values.table(values.parse(metadata.texts.get("invokeai_metadata")))
    if told:
        return _current(told)
    old = values.table(values.parse(metadata.texts.get("sd-metadata")))
    if isinstance(old.get("image"), dict):
        return _version_two(old)
    return _dream(metadata.texts.get("Dream", ""))


def _current(told: Mapping[str, object]) -> Making:
    model = values.table(told.get("model"))
    return Making(
        producer="invokeai",
        prompt=values.text(told.get("positive_prompt")),
        negative=values.text(told.get("negative_prompt")),
        model=values.filled(model.get("name")) or values.filled(model.get("model_name")),
        model_hash=values.filled(model.get("hash")),
        sampler=values.filled(told.get("scheduler")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("cfg_scale")),
        seed=values.whole(told.get("seed")),
        width=values.count(told.get("width")),
        height=values.count(told.get("height")),
        extra=values.rest(told, _KNOWN),
    )


def _version_two(old: Mapping[str, object]) -> Making:
    told = values.table(old.get("image"))
    prompt, negative = _parted(_joined(told.get("prompt")))
    return Making(
        producer="invokeai",
        prompt=prompt,
        negative=negative,
        model=values.filled(old.get("model_weights")) or values.filled(old.get("model")),
        model_hash=values.filled(old.get("model_hash")),
        sampler=values.filled(told.get("sampler")),
        steps=values.count(told.get("steps")),
        guidance=values.number(told.get("cfg_scale")),
        seed=values.whole(told.get("seed")),
        width=values.count(told.get("width")),
        height=values.count(told.get("height")),
        extra=values.rest(old, _OLD) | values.rest(told, _OLD_IMAGE),
    )


def _dream(line: str) -> Making | None:
    """`"a prompt" -s 50 -S 1234 -W 512 -H 512 -C 7.5 -A k_lms`."""
    found = _DREAM.match(line.strip())
    if not found:
        return None
    told = dict(_SWITCH.findall(found[2]))
    prompt, negative = _parted(found[1])
    return Making(
        producer="invokeai",
        prompt=prompt,
        negative=negative,
        sampler=values.filled(told.get("A")),
        steps=values.count(told.get("s")),
        guidance=values.number(told.get("C")),
        seed=values.whole(told.get("S")),
        width=values.count(told.get("W")),
        height=values.count(told.get("H")),
    )


def _joined(prompt: object) -> str:
    """Text, or a list of {"prompt", "weight"}."""
    if isinstance(prompt, str):
        return prompt
    parts = (values.text(values.table(part).get("prompt")) for part in values.rows(prompt))
    return " ".join(part for part in parts if part)


def _parted(prompt: str) -> tuple[str | None, str | None]:
    """The prompt without what stands in square brackets, and that."""
    negative = ", ".join(part.strip() for part in _NEGATIVE.findall(prompt))
    positive = " ".join(_NEGATIVE.sub(" ", prompt).split())
    return values.text(positive), values.text(negative)
