"""Report: a sweep as a grid of pictures, a chart, rows of a table, and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from index.counting import counted
from index.export.sheet import Band, Tile, contact_sheet
from index.prompt import plain_words
from sovgen.seeing.chart import Line, Panel, chart
from sovgen.seeing.sweep import LEAST_SIMILARITY, REFERENCE, Failed, Measured, Sweep, Way

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


def caption(recipes: Sequence[Recipe], model: Model) -> str:
    """What every picture of a sweep has in common, for those who see the sheet alone."""
    first, last = recipes[0].seed, recipes[-1].seed
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    words = plain_words(recipes[0].prompt)
    return f"\u201c{words}\u201d, {model.name} on {model.device} in {model.dtype}, {seeds}"


def grid(sweep: Sweep, side: int, foot: str = "") -> Image.Image:
    """One row for each sampler and guidance, by steps; what is enough is framed."""
    enough = sweep.enough()
    bands = []
    for kind, row in _kinds(sweep):
        tiles = [
            Tile(m.image, f"{counted(m.way.steps, 'step')}, {m.seconds:.2g} s", marked=m is enough)
            for m in row
        ]
        bands.append(Band(_named(kind), tiles))
    return contact_sheet(bands, side, foot)


def plot(sweep: Sweep, foot: str = "") -> Image.Image:
    """Similarity and adherence against time, on a logarithmic axis; points are named by steps."""
    similarity = _panel(
        sweep, f"Similarity to the picture of {REFERENCE} steps", lambda m: m.similarity
    )
    adherence = _panel(sweep, "Adherence to the prompt", lambda m: m.adherence)
    return chart([similarity, adherence], foot)


def rows(sweep: Sweep) -> list[dict[str, object]]:
    """Every way as plain values, the references among them."""
    measured = [m for _, row in _kinds(sweep) for m in row]
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
    """What is enough, in one sentence."""
    where = f"{model.name} on {model.device} in {model.dtype}"
    best = sweep.enough()
    if best is None:
        return f"None of these is enough for {where}: {_short_of(sweep, sweep.nearest())}."
    whole, are = sweep.reference(best.way), "is" if best.way.steps == 1 else "are"
    return (
        f"{name_of(best.way)} {are} enough for {where}: "
        f"{best.similarity:.3f} like the picture of {REFERENCE} steps, adherence "
        f"{best.adherence:.3f} against {whole.adherence:.3f}, "
        f"{best.seconds:.2g} s against {whole.seconds:.2g} s."
    )


def _short_of(sweep: Sweep, nearest: Measured) -> str:
    """What the nearest lacks."""
    named = f"the nearest to {REFERENCE} steps, {nearest.way.steps} of {_named(nearest.way)},"
    if nearest.similarity < LEAST_SIMILARITY:
        return f"{named} is {nearest.similarity:.3f} like them, and {LEAST_SIMILARITY:g} is asked"
    whole = sweep.reference(nearest.way)
    return (
        f"{named} is {nearest.similarity:.3f} like them, but its adherence is "
        f"{nearest.adherence:.3f} against {whole.adherence:.3f}"
    )


def failed_row(failed: Failed) -> dict[str, object]:
    """A way that could not be measured, as plain values."""
    way = failed.way
    told = {"sampler": way.sampler, "guidance": way.guidance, "steps": way.steps}
    return {**told, "why": failed.error.message}


def name_of(way: Way) -> str:
    """A way as it is called in a sentence."""
    return f"{counted(way.steps, 'step')} of {_named(way)}"


def _panel(sweep: Sweep, title: str, value: Callable[[Measured], float]) -> Panel:
    """A colour for each sampler and a stroke for each guidance."""
    kinds = [reference.way for reference in sweep.references]
    samplers = list(dict.fromkeys(kind.sampler for kind in kinds))
    guidances = list(dict.fromkeys(kind.guidance for kind in kinds))
    lines = [
        Line(
            _named(kind),
            [(m.seconds, value(m), str(m.way.steps)) for m in row],
            samplers.index(kind.sampler),
            guidances.index(kind.guidance),
        )
        for kind, row in _kinds(sweep)
    ]
    return Panel(title, "seconds a picture", lines)


def _kinds(sweep: Sweep) -> Iterator[tuple[Way, list[Measured]]]:
    """The ways of each sampler and guidance, from few steps to many; the reference among them."""
    for reference in sweep.references:
        mine = [m for m in sweep.ways if sweep.reference(m.way) is reference]
        yield reference.way, sorted([*mine, reference], key=lambda m: m.way.steps)


def _named(way: Way) -> str:
    return f"{way.sampler}, guidance {way.guidance:g}"
