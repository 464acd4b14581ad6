"""dgenerate: the command line that makes the picture again, in its own shell's quoting.

PNG text chunk `DgenerateConfig`, or the EXIF UserComment of a JPEG:

    #! /usr/bin/env dgenerate --file
    #! dgenerate 5.0.0

    stabilityai/stable-diffusion-xl-base-1.0 \\
    --model-type sdxl \\
    --prompts 'a red fox; blurry' ...

A prompt holds its negative after a semicolon. Paths on the writer's machine are cut to their last
part. After dgenerate's pipelinewrapper/argreconstruct.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PureWindowsPath

from index.making import Making
from index.provenance import values
from index.provenance.metadata import Metadata

_FIRST = re.compile(r"#! (?:/usr/bin/env )?dgenerate\b")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_NEGATIVE_NUMBER = re.compile(r"-[\d.]+")
_SIZE = re.compile(r"(\d{1,6})(?:x(\d{1,6}))?")
_EXTRA = ("model-type", "variant", "clip-skips", "image-seed-strengths")


def read(metadata: Metadata) -> Making | None:
    """The making that dgenerate wrote, or None."""
    config = metadata.texts.get("DgenerateConfig", "") or metadata.comment
    if not _FIRST.match(config):
        return None
    model, told = _options(config)
    prompt, _, negative = told.get("prompts", "").partition(";")
    size = _SIZE.fullmatch(told.get("output-size", ""))
    return Making(
        producer="dgenerate",
        prompt=values.text(prompt.strip()),
        negative=values.text(negative.strip()),
        model=model if _HUB_NAME.fullmatch(model) else PureWindowsPath(model).name or None,
        sampler=values.filled(told.get("schedulers") or told.get("scheduler")),
        steps=values.count(told.get("inference-steps")),
        guidance=values.number(told.get("guidance-scales")),
        seed=values.whole(told.get("seeds")),
        width=values.count(size[1]) if size else None,
        height=values.count(size[2] or size[1]) if size else None,
        device=values.filled(told.get("device")),
        dtype=values.filled(told.get("dtype")),
        extra={key: values.text(told[key]) for key in _EXTRA if told.get(key)},
    )


def _options(config: str) -> tuple[str, dict[str, str]]:
    """The model, which stands before every option, and each option's first value."""
    lines = [line for line in config.splitlines() if not line.startswith("#")]
    model, told, option = "", {}, ""
    for word in _words(" ".join(line.removesuffix("\\") for line in lines)):
        if word.startswith("--") and not _NEGATIVE_NUMBER.fullmatch(word):
            option = word[2:]
            told[option] = ""
        elif option:
            told[option] = told[option] or word
        else:
            model = model or word
    return values.text(model) or "", told


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command.replace("\\#", "#"))
    except ValueError:  # a quote that never closes
        return command.split()
