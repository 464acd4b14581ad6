"""load_model: a name, folder or file becomes a model ready to draw.

Everything that can be refused is refused from text first: damaged weights, pickles, foreign code,
pipelines of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sovgen.models import prediction
from sovgen.models.card import read_card
from sovgen.models.compute import part_dtypes, settle
from sovgen.models.defaults import choose_defaults
from sovgen.models.description import read_layout
from sovgen.models.device import Place, choose_place
from sovgen.models.identity import configuration_hash, model_hash, refuse_changed
from sovgen.models.layout import Layout
from sovgen.models.model import Model, Opened
from sovgen.models.opening import open_pipeline
from sovgen.models.quiet import libraries_held_back
from sovgen.models.store import find_model

__all__ = ["Model", "load_model"]


def load_model(
    source: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    *,
    safety: bool = False,
    folders: Sequence[Path] = (),
    later: bool = False,
) -> Model:
    """Load the model of that name or at that path; None is the bundled one.

    device, dtype: as in Recipe; None lets the machine decide
    safety: load the model's own safety checker too; its verdict is told, no picture is blackened
    folders: more places where models with names lie
    later: leave the weights where they are until they are needed

    Raises ModelMissing, UnsafeWeights, ModelDamaged, ModelUnsupported, DeviceMissing or BadRecipe
    (an unknown dtype); all but damage within the tensors before anything large is read.
    """
    found = find_model(source, folders)
    layout = read_layout(found)
    refuse_changed(found.path)
    place = choose_place(device, dtype)
    opening: Callable[[], Opened] = partial(_open, layout, place, safety)
    if prediction.is_open(layout):
        pipe = (asked := opening()).pipe
        layout = prediction.closed(layout, pipe)
        opening = partial(replace, asked, own_scheduler=pipe.scheduler)
    scheduler = layout.configs["scheduler"]
    card = read_card(found.path)
    model = Model(
        opening=opening,
        name=found.name,
        source=str(found.path),
        hash=model_hash(layout),
        configuration=configuration_hash(layout),
        family=layout.family,
        kind=layout.kind,
        configs=layout.configs,
        native_size=layout.native_size,
        cell=layout.cell,
        grid=layout.grid,
        defaults=choose_defaults(layout, card, layout.parts["scheduler"], scheduler),
        guidance=layout.guidance,
        tokens=layout.tokens,
        device=place.device,
        dtype=place.dtype,
        dtype_reason=place.reason,
        checks_safety=safety,
        largest_side=layout.largest_side,
        folders=tuple(folders),
    )
    if not later:
        _ = model.opened
    return model


def _open(layout: Layout, place: Place, safety: bool) -> Opened:
    with libraries_held_back():
        dtypes = part_dtypes(place.device, place.dtype, layout)
        pipe = open_pipeline(layout, dtypes, safety=safety)
        moving = settle(pipe, getattr(pipe, layout.kind.denoiser), place.device, place.dtype)
    return Opened(pipe, pipe.scheduler, moving)
