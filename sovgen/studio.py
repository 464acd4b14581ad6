"""Studio: the one seam where making meets keeping.

`make` is generate + save + add: a recipe becomes pixels, a file, an embedding and a row. The CLI,
the web app, the batch runner and the cluster workers all call it; none of them repeats it. The
Studio knows neither terminals nor requests; whoever calls it shows the progress.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from index import Library
from index.looking import look_at
from index.prompt import plain_words
from sovgen.choosing import Choice, Judge, choose
from sovgen.errors import BadRecipe
from sovgen.keeping import keep_behind
from sovgen.picture import Picture, encode_png
from sovgen.recipe import Recipe
from sovgen.recording import new_entry, stem_of
from sovgen.sources import pictures_named, sources_of, with_whole_ids
from sovgen.turn import turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index import Entry
    from sovgen.generate.generator import OnNotice
    from sovgen.generate.sampling import OnStep
    from sovgen.models.load import Model

    Keep = Callable[[Sequence[Picture]], list["Made"]]
    Record = Callable[[Picture], Mapping[str, object]]


# Prompts whose vectors stay at hand: in one run the same few come again and again.
_REMEMBERED = 256


@dataclass(frozen=True)
class Made:
    """A picture and where it went; `entry` is None when it was not indexed."""

    picture: Picture
    path: Path
    entry: Entry | None


class Studio:
    """A model and a library, together.

    library: an open Library, or the folder of one; a folder without one becomes one
    model: a name, a diffusers folder or a single safetensors file; None is the bundled model
    device, dtype: None lets the machine decide
    safety: load the model's own safety checker and record its verdict
    folders: where models and additions with names lie besides the usual place
    """

    def __init__(
        self,
        library: Library | Path | str,
        model: str | Path | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        safety: bool = False,
        folders: Sequence[Path] = (),
    ) -> None:
        self._library = library
        self._source = model
        self._device, self._dtype, self._safety = device, dtype, safety
        self._folders = folders

    @cached_property
    def library(self) -> Library:
        """The open library; opened, or made, at first use, so drawing without one makes none."""
        if isinstance(self._library, Library):
            return self._library
        return _open_or_create(Path(self._library))

    @cached_property
    def model(self) -> Model:
        """The model; raises ModelMissing and its kin. Its weights come when they are needed."""
        from sovgen.models.load import load_model

        options = {"safety": self._safety, "folders": self._folders, "later": True}
        return load_model(self._source, self._device, self._dtype, **options)  # type: ignore[arg-type]

    def turn(self, on_notice: OnNotice | None = None) -> AbstractContextManager[None]:
        """Hold the device meanwhile, so that a model is not loaded before it can draw."""
        from sovgen.models.device import choose_place

        return turn(choose_place(self._device, self._dtype).device, on_notice)

    @cached_property
    def encoder_match(self) -> str:
        """How the model's text towers compare with the library's CLIP.

        `shared` when one is the very same tower; it then stands in memory once.
        """
        from sovgen.models.additions.equipping import strip
        from sovgen.models.towers import text_towers

        encoder = self.library.encoder
        strip(self.model)
        verdicts = [encoder.adopt_text_tower(tower) for tower in text_towers(self.model.pipe)]
        ranked = ("shared", "equal", "different", "no CLIP")
        return min(verdicts, key=ranked.index, default="no CLIP")

    def make(
        self,
        recipes: Recipe | Iterable[Recipe],
        *,
        private: bool = False,
        index: bool = True,
        exact: bool = False,
        among: int = 0,
        sources: Mapping[str, Image.Image] | None = None,
        record: Record | None = None,
        choice: Choice | None = None,
        on_step: OnStep | None = None,
        on_notice: OnNotice | None = None,
    ) -> Iterator[Made]:
        """Draw the recipes and keep what they give, in order.

        private: no prompt is left in the file, its name or the catalogue
        index: without it the pictures go into the current folder and nothing remembers them
        exact: draw each alone, so that pixels cannot depend on the batch
        among: how many pictures the run has of which these are some, where it has more
        choice: keep only the pictures that are most true to their prompts, and tell which
        sources: pictures by id, in place of those of the library, that the recipes name
        record: what else to commit with each picture, as plain JSON values, unless it is private
        While another process draws on the device this waits, and says so.
        Stopping by hand raises Interrupted once the pictures that were finished are kept.
        """
        from sovgen.generate.generator import generate

        wanted = [recipes] if isinstance(recipes, Recipe) else list(recipes)
        wanted, found = self._sourced(wanted, sources or {})
        # An upscaler by itself is asked nothing by the model's towers, which stay on the disk.
        drawn = not all(recipe.enlarges_alone for recipe in wanted)
        match = self.encoder_match if index and drawn else None
        keep = self._keeper(match, private, record) if index else _write_here(private)
        told = {"on_step": on_step, "on_notice": on_notice, "among": max(among, len(wanted))}
        alone = exact or (choice is not None and choice.until is not None)

        def draw(some: Sequence[Recipe]) -> Iterator[Picture]:
            return generate(self.model, some, exact=alone, sources=found, **told)  # type: ignore[arg-type]

        pictures = draw(wanted)
        if choice is not None:
            pictures = choose(choice, wanted, draw, self._judge(index), on_notice or _mute)
        return _in_turn(self.model.device, on_notice, keep_behind(pictures, keep))

    def remake(self, prefix: str) -> Picture:
        """Draw a library picture again from its own recipe, without keeping it.

        Raises BadRecipe when the picture's making was not recorded in full.
        """
        from sovgen.generate.generator import generate

        [recipe], sources = self._sourced([self.recipe_of(prefix)], {})
        with turn(self.model.device):
            return next(iter(generate(self.model, [recipe], exact=True, sources=sources)))

    def changed_additions(self, prefix: str) -> list[str]:
        """The names of a picture's additions whose files are no longer those that drew it.

        Raises ModelMissing for one that is gone.
        """
        from sovgen.models.additions.wanted import changed, find_additions

        recorded = self.library.makings(prefix)[0].extra.get("additions")
        if not isinstance(recorded, dict):
            return []
        return changed(recorded, find_additions(self.recipe_of(prefix), self._folders))

    def recipe_of(self, prefix: str) -> Recipe:
        """The recipe of a library picture, read from its newest making."""
        entry = self.library.get(prefix)
        if entry.prompt is None or entry.seed is None:
            raise BadRecipe(
                f"Picture {entry.id[:8]} has no recorded prompt and seed.",
                "Only pictures made without --private can be made again.",
            )
        return Recipe(
            prompt=entry.prompt,
            negative=entry.negative or "",
            seed=entry.seed,
            model=entry.model,
            steps=entry.steps,
            guidance=entry.guidance,
            width=entry.width,
            height=entry.height,
            sampler=entry.sampler,
            device=entry.device,
            dtype=entry.dtype,
            **entry.settings,  # type: ignore[arg-type]
        )

    def _sourced(
        self, recipes: Sequence[Recipe], given: Mapping[str, Image.Image]
    ) -> tuple[list[Recipe], Mapping[str, Image.Image]]:
        """The recipes with whole ids, and the pictures that they name."""
        wanting = [r for r in recipes if not set(pictures_named(r)) <= set(given)]
        if not wanting:
            return list(recipes), given
        whole = {r: with_whole_ids(self.library, r, given) for r in wanting}
        found = sources_of(self.library, *whole.values(), given=given)
        return [whole.get(r, r) for r in recipes], found

    def _judge(self, index: bool) -> Judge:
        """How true a picture is to its prompt: by the library's encoder, where one is at hand."""
        from index.encoder import load_encoder

        encoder = self.library.encoder if index else load_encoder()

        def judge(picture: Picture) -> float:
            [look] = look_at(encoder, [picture.image], [picture.recipe.prompt])
            return look.adherence or 0.0

        return judge

    def _keeper(self, match: str | None, private: bool, record: Record | None) -> Keep:
        vector = lru_cache(_REMEMBERED)(self._vector)

        def keep(pictures: Sequence[Picture]) -> list[Made]:
            extras = [record(picture) if record and not private else {} for picture in pictures]
            pairs = zip(pictures, extras, strict=True)
            new = [new_entry(picture, match, private, extra) for picture, extra in pairs]
            if not private:
                new = [
                    replace(n, text_vector=vector(p.recipe.prompt))
                    for n, p in zip(new, pictures, strict=True)
                ]
            entries = self.library.keep(new)
            return [Made(p, e.path, e) for p, e in zip(pictures, entries, strict=True)]

        return keep

    def _vector(self, prompt: str) -> NDArray[np.float32] | None:
        return self.library.encoder.encode_texts([plain_words(prompt)])[0] if prompt else None


def _mute(_: str) -> None:
    """For whoever listens to no notices."""


def _open_or_create(root: Path) -> Library:
    from index import NoLibrary

    try:
        return Library.open(root)
    except NoLibrary:
        return Library.create(root)


def _in_turn(device: str, on_notice: OnNotice | None, made: Iterator[Made]) -> Iterator[Made]:
    with turn(device, on_notice), closing(made):  # type: ignore[type-var]
        yield from made


def _write_here(private: bool) -> Keep:
    def keep(pictures: Sequence[Picture]) -> list[Made]:
        return [Made(p, _write_new(Path.cwd(), p, private), None) for p in pictures]

    return keep


def _write_new(folder: Path, picture: Picture, private: bool) -> Path:
    """Write beside what stands there already, never over it."""
    stem, number = stem_of(picture, private), 0
    while True:
        path = folder / (f"{stem}-{number}.png" if number else f"{stem}.png")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_png(picture, private=private))
        return path
