"""A denoiser alone in a single file, as FLUX.1's and SD 3's are made for ComfyUI.

A diffusers folder lends the rest: text towers, tokenizers and, where the file has none, the
autoencoder. It is the first of the same family, beside the file or among the person's models, whose
denoiser reads texts of the same widths. What it lends counts in the model's hash. Only headers are
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from sovgen.errors import ModelUnsupported, SovgenError
from sovgen.models.folder import is_folder, read_folder
from sovgen.models.layout import Layout, refuse_other_tasks
from sovgen.models.originals import ORIGINALS, UNET, Original
from sovgen.models.shapes import Shapes
from sovgen.models.single import any_begins, base_of, scheduler_of, side_of, unpacked
from sovgen.models.store import models_folder
from sovgen.models.weights import Header, Weights, precision, read_header

_WIDTHS = ("joint_attention_dim", "pooled_projection_dim", "in_channels")
_TITLES = {"sd3": "Stable Diffusion 3", "flux": "FLUX.1"}


def read_lent(path: Path) -> Layout | None:
    """The layout of a file that holds a transformer without its towers; None for any other file.

    Raises ModelUnsupported when no folder here lends what it lacks, and as `read_file` does.
    """
    header = read_header(path)
    original = _denoiser_alone(header)
    if original is None:
        return None
    header = unpacked(path, header)
    base, found = base_of(original), _parts(original, header)
    try:
        read = {part: original.readers[part](tensors) for part, tensors in found.items()}
    except (KeyError, IndexError, ValueError) as error:
        raise ModelUnsupported(
            f"{path.name} is a {_TITLES[original.configs]} model without its text towers, and its "
            f"denoiser lacks {error}.",
            "Get the whole file, or draw with a diffusers folder.",
        ) from error
    own = {part: {**base[part], **config} for part, config in read.items()}
    lender = _lender(path, original, own["transformer"])
    configs = {name: dict(config) for name, config in {**lender.configs, **own}.items()}
    configs["scheduler"] = scheduler_of(base, header, configs)
    if "sample_size" in lender.denoiser:
        configs["transformer"]["sample_size"] = side_of(base, header) // lender.cell
    refuse_other_tasks(path.name, original.kind, configs)
    return replace(
        lender,
        parts={**lender.parts, "scheduler": str(base["scheduler"]["_class_name"])},
        configs=configs,
        weights={**lender.weights, **dict.fromkeys(found, Weights((path,)))},
        numbers={**lender.numbers, **{n: sum(map(prod, t.values())) for n, t in found.items()}},
        precision=precision([header]),
        own=path,
        own_parts=tuple(found),
    )


def _denoiser_alone(header: Header) -> Original | None:
    for original in ORIGINALS:
        if original.kind.denoiser != "transformer":
            continue
        towers = [p for t in original.kind.towers for p in original.prefixes[t]]
        has_one = any_begins(header.tensors, (UNET + original.tells, original.tells))
        if has_one and not any_begins(header.tensors, tuple(towers)) and not _is_lora(header):
            return original
    return None


def _is_lora(header: Header) -> bool:
    return any("lora" in name for name in header.tensors)


def _parts(original: Original, header: Header) -> dict[str, Shapes]:
    """The tensors of the denoiser, and of the autoencoder where it is there."""
    names = header.tensors
    if any_begins(names, (UNET,)):
        denoiser = {n.removeprefix(UNET): t.shape for n, t in names.items() if n.startswith(UNET)}
    else:
        denoiser = {n: t.shape for n, t in names.items()}
    found: dict[str, Shapes] = {"transformer": denoiser}
    for prefix in original.prefixes["vae"]:
        if any_begins(names, (f"{prefix}decoder.",)):
            shapes = {n: t.shape for n, t in names.items() if n.startswith(prefix)}
            found["vae"] = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return found


def _lender(path: Path, original: Original, config: dict[str, Any]) -> Layout:
    for layout in _folders(path):
        theirs = layout.denoiser if layout.kind is original.kind else {}
        if theirs and all(theirs.get(name) == config[name] for name in _WIDTHS):
            return layout
    title = _TITLES[original.configs]
    raise ModelUnsupported(
        f"{path.name} is a {title} model without its text towers, and no model here lends them.",
        f"Put a diffusers folder of {title} beside the file or among the models: it lends its "
        "text towers and its autoencoder.",
    )


def _folders(path: Path) -> Iterator[Layout]:
    for root in (path.parent, models_folder()):
        for folder in sorted(root.glob("*")):
            if not folder.name.startswith(".") and is_folder(folder):
                try:
                    yield read_folder(folder)
                except SovgenError:
                    continue
