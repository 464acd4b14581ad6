"""The main job as a story: draw, find by other words, gather, hand over.

`python -m sovgen.demo FOLDER` runs it in a fresh library under FOLDER with the bundled model and
prints, as its last line, the path of a contact sheet: each question beside its top hits, the
expected pictures framed, and where they ranked. It exits 1 when no question found what was
expected among its first three, and otherwise tells of misses without hiding them. It knows only
what a user knows: the public names of `sovgen` and `index`.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sovgen.offline import go_offline

if TYPE_CHECKING:
    from index import Hit, Library

GOOD_RANK = 3
SHOWN = 5


@dataclass(frozen=True)
class Question:
    """A description in words that no prompt uses, and the prompts it should find."""

    text: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    """What the demo draws, with which first seed, and what it asks afterwards."""

    prompts: tuple[str, ...]
    seed: int
    questions: tuple[Question, ...]


def read_script() -> Script:
    """The committed prompts and expectations."""
    from index.bundled import data_folder

    folder = data_folder() / "prompts"
    prompts = (folder / "demo.txt").read_text(encoding="utf-8").splitlines()
    table = tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))
    questions = (Question(q["text"], tuple(q["expected"])) for q in table["question"])
    return Script(tuple(filter(None, prompts)), table["seed"], tuple(questions))


def run(folder: Path) -> int:
    """The whole story under `folder`; returns the exit status."""
    from index import Library

    script = read_script()
    shutil.rmtree(folder, ignore_errors=True)
    library = Library.create(folder / "library")
    draw(library, script)
    answers = [(question, ask(library, question)) for question in script.questions]
    hand_over(library, [hits[0] for _, hits in answers], folder / "found")
    draw_sheet(answers, folder / "sheet.png")
    sys.stdout.write(f"{folder / 'sheet.png'}\n")
    return 0 if any(rank(*answer) <= GOOD_RANK for answer in answers) else 1


def draw(library: Library, script: Script) -> None:
    """Prompts become pictures, and every picture is kept as it is made."""
    from sovgen import Recipe, Studio

    for made in Studio(library).make(Recipe(prompt, seed=script.seed) for prompt in script.prompts):
        _say(f"drew   {made.picture.recipe.prompt}: {made.path.name}")


def ask(library: Library, question: Question) -> list[Hit]:
    """All pictures, those that fit the question best first."""
    from index import Query

    everything = Query(text=question.text, k=library.info().pictures, everything=True)
    hits = library.search(everything).hits
    _say(f"asked  {question.text}: {_verdict(question, hits)}")
    return hits


def hand_over(library: Library, hits: Sequence[Hit], to: Path) -> None:
    """What was found becomes a set, and the set leaves without its prompts."""
    from index import Query
    from index.curate import add_to_set, new_set
    from index.export import export

    new_set(library, "found")
    add_to_set(library, "found", [hit.entry.id for hit in hits])
    written = export(library, library.list(Query(set="found")), to)
    _say(f"left   {len(written)} files in {to}, free of prompts and paths")


def rank(question: Question, hits: Sequence[Hit]) -> int:
    """The first place, from 1, of an expected picture; one past the last when it is missing."""
    ranks = [n for n, hit in enumerate(hits, 1) if hit.entry.prompt in question.expected]
    return min(ranks, default=len(hits) + 1)


def _verdict(question: Question, hits: Sequence[Hit]) -> str:
    place = rank(question, hits)
    wanted = " or ".join(question.expected)
    return f"{wanted} is hit {place} of {len(hits)}" + ("" if place <= GOOD_RANK else " (a miss)")


def draw_sheet(answers: Sequence[tuple[Question, Sequence[Hit]]], path: Path) -> None:
    """Each question above its first hits, the expected pictures framed."""
    from PIL import Image

    from index.export.sheet import Band, Tile, contact_sheet

    bands = []
    for question, hits in answers:
        tiles = []
        for hit in hits[:SHOWN]:
            with Image.open(hit.entry.path) as image:
                drawn = image.convert("RGB")
            caption = f"{hit.score:.2f}  {hit.entry.prompt}"
            tiles.append(Tile(drawn, caption, hit.entry.prompt in question.expected))
        bands.append(Band(f"{question.text}: {_verdict(question, hits)}", tiles))
    contact_sheet(bands).save(path)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    go_offline()
    sys.exit(run(Path(sys.argv[1])))
