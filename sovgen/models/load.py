"""load_model: a name, folder or file becomes a pipeline ready to draw.

Everything that can be refused is refused from text first: damaged weights, pickles, foreign code,
pipelines of another kind. Only local files are read, and only safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovgen.models.card import read_card
from sovgen.models.compute import part_dtypes, settle
from sovgen.models.defaults import choose_defaults
from sovgen.models.device import choose_place
from sovgen.models.folder import folder_weights, read_folder
from sovgen.models.identity import hash_folder, refuse_changed
from sovgen.models.layout import Layout
from sovgen.models.model import Model
from sovgen.models.quiet import libraries_held_back
from sovgen.models.safety import load_checker
from sovgen.models.store import find_model
from sovgen.models.towers import max_tokens
from sovgen.models.weights import Weights, read_header

if TYPE_CHECKING:
    import torch

__all__ = ["Model", "load_model"]


def load_model(
    source: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    *,
    safety: bool = False,
    folders: Sequence[Path] = (),
) -> Model:
    """Load the model of that name or at that path; None is the bundled one.

    device, dtype: as in Recipe; None lets the machine decide
    safety: load the model's own safety checker too; its verdict is told, no picture is blackened
    folders: more places where models with names lie

    Raises ModelMissing, UnsafeWeights, ModelDamaged, ModelUnsupported, DeviceMissing or BadRecipe
    (an unknown dtype), each before anything large is read.
    """
    found = find_model(source, folders)
    layout = read_folder(found.path)
    weights = folder_weights(layout)
    _refuse_damaged(weights)
    refuse_changed(found.path)
    place = choose_place(device, dtype)
    dtypes = part_dtypes(place.device, place.dtype, layout.configs)
    with libraries_held_back():
        pipe = _open_folder(layout, weights, dtypes, safety)
        settle(pipe, place.device)
    own = pipe.scheduler
    return Model(
        pipe=pipe,
        name=found.name,
        source=str(found.path),
        hash=hash_folder(weights),
        family=layout.family,
        native_size=layout.native_size,
        grid=layout.grid,
        defaults=choose_defaults(
            layout.family, read_card(found.path), type(own).__name__, own.config
        ),
        max_tokens=max_tokens(pipe),
        device=place.device,
        dtype=place.dtype,
        dtype_reason=place.reason,
        own_scheduler=own,
        checks_safety=safety,
    )


def _refuse_damaged(weights: Mapping[str, Weights]) -> None:
    for part in weights.values():
        for path in part.files:
            read_header(path)


def _open_folder(
    layout: Layout,
    weights: Mapping[str, Weights],
    dtypes: Mapping[str, torch.dtype],
    safety: bool,
) -> Any:  # noqa: ANN401 - diffusers' pipelines share no typed base
    import diffusers

    variants = sorted({part.variant for part in weights.values() if part.variant})
    unused = dict.fromkeys(("image_encoder", "safety_checker", "feature_extractor"))
    return getattr(diffusers, layout.pipeline).from_pretrained(
        str(layout.path),
        dtype=dict(dtypes),
        variant=variants[0] if variants else None,
        use_safetensors=True,
        local_files_only=True,
        **unused | (load_checker(layout) if safety else {}),
    )
