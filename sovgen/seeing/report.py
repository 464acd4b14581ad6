"""Report: a sweep as a grid of pictures, a chart, rows of a table, and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from index.counting import counted
from index.export.sheet import Band, Tile, contact_sheet
from sovgen.seeing.chart import Line, Panel, chart
from sovgen.seeing.sweep import REFERENCE, Measured, Sweep, Way

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model


def grid(sweep: Sweep, side: int) -> Image.Image:
    """One row for each sampler and guidance, the reference last; what is enough is framed."""
    enough = sweep.enough()
    bands = []
    for kind, row in _kinds(sweep):
        tiles = [
            Tile(m.image, f"{counted(m.way.steps, 'step')}, {m.seconds:.2g} s", marked=m is enough)
            for m in (*row, sweep.reference(kind))
        ]
        bands.append(Band(_named(kind), tiles))
    return contact_sheet(bands, side)


def plot(sweep: Sweep) -> Image.Image:
    """Similarity and adherence against time, on a logarithmic axis; points are named by steps."""
    similarity = _panel(
        sweep, f"Similarity to the picture of {REFERENCE} steps", lambda m: m.similarity
    )
    adherence = _panel(sweep, "Adherence to the prompt", lambda m: m.adherence)
    return chart([similarity, adherence])


def rows(sweep: Sweep) -> list[dict[str, object]]:
    """Every way as plain values, the references among them."""
    measured = [m for kind, row in _kinds(sweep) for m in (*row, sweep.reference(kind))]
    return [
        {
            "sampler": m.way.sampler,
            "guidance": m.way.guidance,
            "steps": m.way.steps,
            "seconds": round(m.seconds, 4),
            "similarity": round(m.similarity, 4),
            "adherence": round(m.adherence, 4),
        }
        for m in measured
    ]


def answer(sweep: Sweep, model: Model) -> str:
    """How few steps are enough, in one sentence."""
    where = f"{model.name} on {model.device} in {model.dtype}"
    best = sweep.enough()
    if best is None:
        best = max(sweep.ways, key=lambda m: m.similarity)
        return (
            f"None of these is enough for {where}: the nearest to {REFERENCE} steps, "
            f"{best.way.steps} of {_named(best.way)}, is {best.similarity:.3f} like them."
        )
    whole, are = sweep.reference(best.way), "is" if best.way.steps == 1 else "are"
    return (
        f"{counted(best.way.steps, 'step')} of {_named(best.way)} {are} enough for {where}: "
        f"{best.similarity:.3f} like the picture of {REFERENCE} steps, adherence "
        f"{best.adherence:.3f} against {whole.adherence:.3f}, "
        f"{best.seconds:.2g} s against {whole.seconds:.2g} s."
    )


def _panel(sweep: Sweep, title: str, value: Callable[[Measured], float]) -> Panel:
    lines = [
        Line(
            _named(kind),
            [(m.seconds, value(m), str(m.way.steps)) for m in (*row, sweep.reference(kind))],
        )
        for kind, row in _kinds(sweep)
    ]
    return Panel(title, "seconds a picture", lines)


def _kinds(sweep: Sweep) -> Iterator[tuple[Way, list[Measured]]]:
    """The ways of each sampler and guidance."""
    for reference in sweep.references:
        kind = reference.way
        mine = [m for m in sweep.ways if sweep.reference(m.way) is reference]
        yield kind, mine


def _named(way: Way) -> str:
    return f"{way.sampler}, guidance {way.guidance:g}"
