"""How pictures are written to stdout: a table for people, tab-separated lines or JSON for programs.

It knows an Entry's fields and nothing of where entries come from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from index import Entry, Hit

T = TypeVar("T")
# What an empty listing says to a person.
NOTHING = "Nothing to list."
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def print_hits(hits: Sequence[Hit], form: str | None) -> None:
    """Write what a search found, best first, with scores."""
    if form == "json":
        scored = ((hit.entry, round(float(hit.score), 6)) for hit in hits)
        print_json([fields(entry) | {"score": score} for entry, score in scored])
    else:
        print_entries([hit.entry for hit in hits], form, [hit.score for hit in hits])


def print_explained(hits: Sequence[Hit], form: str | None) -> None:
    """Write what a search found with all that its scores are made of."""
    if form == "json":
        told = [(fields(hit.entry), _explanation(hit)) for hit in hits]
        print_json([known | {"score": e["score"], "explanation": e} for known, e in told])
        return
    for hit in hits:
        click.echo(f"{hit.entry.id}\t{hit.score:.4f}\t{printable(hit.entry.prompt)}")
        if hit.parts:
            cosines = ", ".join(_cosine(hit, term) for term in hit.parts)
            click.echo(
                f"  look   {_place(hit.looks_rank)}  adds {hit.looks_share:.4f}  cosines: {cosines}"
            )
        if hit.words:
            met = ", ".join(a if a == w else f"{a} = {w}" for a, w in sorted(hit.words.items()))
            share = f"{hit.words_score:.4f} of them: {met}"
            click.echo(f"  words  {_place(hit.words_rank)}  adds {hit.words_share:.4f}  {share}")


def _cosine(hit: Hit, term: str) -> str:
    """How like a term a picture is; of several, also what that is in the cosine with all."""
    alone = f"{printable(term)} {hit.parts[term]:.4f}"
    return alone if len(hit.parts) == 1 else f"{alone} ({hit.shares[term]:+.4f})"


def _explanation(hit: Hit) -> dict[str, object]:
    return {
        "score": round(hit.score, 6),
        "look": {
            "rank": hit.looks_rank or None,
            "adds": round(hit.looks_share, 6),
            "cosines": hit.parts,
            "cosine_shares": hit.shares,
        },
        "words": {
            "rank": hit.words_rank or None,
            "adds": round(hit.words_share, 6),
            "score": round(hit.words_score, 6),
            "matched": hit.words,
        },
    }


def _place(rank: int) -> str:
    return f"{rank or '-':>4}"


def print_entries(
    entries: Sequence[Entry], form: str | None, scores: Sequence[float | None] | None = None
) -> None:
    """Write a listing: `form` is "json", "paths" or None, which suits whatever stdout is."""
    if form == "json":
        print_json([fields(e) for e in entries])
    elif form == "paths":
        for entry in entries:
            click.echo(os.fsencode(entry.path))
    else:
        known = scores or [None] * len(entries)
        rows = [_row(fields(e), score) for e, score in zip(entries, known, strict=True)]
        if sys.stdout.isatty():
            _print_table(rows)
        else:
            click.echo("".join("\t".join(row) + "\n" for row in rows), nl=False)


def print_found(entries: Sequence[Entry], form: str | None) -> None:
    """Write a listing as `print_entries` does, and say on stderr when it is empty."""
    print_entries(entries, form)
    if not entries and form != "json":
        click.echo(NOTHING, err=True)


def print_lines(found: Sequence[T], form: str | None, line: Callable[[T], str]) -> None:
    """Write one line each, or one JSON array; say on stderr when there is nothing to write."""
    if form == "json":
        print_json(found)
        return
    for one in found:
        click.echo(line(one))
    if not found:
        click.echo(NOTHING, err=True)


def print_json(value: object) -> None:
    """One JSON document; ASCII, so that a file name that is not UTF-8 survives the trip."""
    click.echo(json.dumps(plain(value), indent=2))


def print_pairs(pairs: Mapping[str, object]) -> None:
    """One `name  value` a line, for one thing rather than a list of them."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {printable(value)}")


def fields(thing: DataclassInstance) -> dict[str, object]:
    """An Entry or the like as plain JSON values, without the catalogue's own row number."""
    names = [f.name for f in dataclasses.fields(thing) if f.name != "seq"]
    return {name: plain(getattr(thing, name)) for name in names}


def plain(value: object) -> object:
    """The JSON value of a path, a date, a dataclass, or a collection of them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def printable(value: object) -> str:
    """A value on one line: what an imported picture's text holds cannot drive the terminal."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(printable, value)) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(k)}: {printable(v)}" for k, v in value.items()) or "-"
    text = f"{value:.4g}" if isinstance(value, float) else str(plain(value))
    return _CONTROL.sub(" ", text).encode("utf-8", "backslashreplace").decode()


def print_line(known: Mapping[str, object]) -> None:
    """One picture at once, as it comes: for a person its id and file, else all columns."""
    if sys.stdout.isatty():
        click.echo(f"{str(known['id'])[:8]}  {printable(known['path'])}")
    else:
        click.echo("\t".join(_row(known)))


def _row(known: Mapping[str, object], score: float | None = None) -> list[str]:
    """Columns id, score, seed, model, prompt, path; `-` where there is none."""
    scored = "-" if score is None else f"{score:.4f}"
    names = ("seed", "model", "prompt", "path")
    return [str(known["id"]), scored, *(printable(known[name]) for name in names)]


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("id", "score", "seed", "model"):
        table.add_column(name, no_wrap=True)
    table.add_column("prompt", no_wrap=True, overflow="ellipsis", ratio=1)
    for full_id, *rest, _ in rows:
        table.add_row(full_id[:8], *map(Text, rest))
    Console().print(table)
