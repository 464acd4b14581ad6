"""Wanted: the additions that a recipe names, found on disk.

Knows recipes and files; knows no tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from index.hashes import sha256_of
from sovgen.errors import BadRecipe
from sovgen.models.additions import kinds
from sovgen.models.additions.addition import Addition, find_addition
from sovgen.recipe import Recipe
from sovgen.weighted import split_weight, with_weight

# Fields that name one, with its kind.
SINGLE: Mapping[str, str] = {
    "vae": kinds.VAE,
    "control": kinds.CONTROLNET,
    "adapter": kinds.ADAPTER,
    "refiner": kinds.MODEL,
    "upscaler": kinds.UPSCALER,
}


@dataclass(frozen=True)
class Additions:
    """What a recipe adds to its model; a LoRA comes with its weight."""

    loras: tuple[tuple[Addition, float], ...] = ()
    embeddings: tuple[Addition, ...] = ()
    vae: Addition | None = None
    control: Addition | None = None
    adapter: Addition | None = None
    refiner: Addition | None = None
    upscaler: Addition | None = None

    @property
    def _by_field(self) -> dict[str, list[Addition]]:
        """All of them, under the field of the recipe that names them."""
        single = {field: getattr(self, field) for field in SINGLE}
        return {
            "loras": [lora for lora, _ in self.loras],
            "embeddings": list(self.embeddings),
            **{field: [one] for field, one in single.items() if one},
        }

    @property
    def sums(self) -> dict[str, dict[str, str]]:
        """The hash of each by its name, under the field of the recipe that names it."""
        found = self._by_field
        return {field: {o.name: o.hash for o in ones} for field, ones in found.items() if ones}

    def read_again(self) -> Additions:
        """Have the sum of every file read afresh, whatever is remembered of it."""
        for ones in self._by_field.values():
            for path in (path for one in ones for path in one.files):
                sha256_of(path, fresh=True)
        return self

    def named_in(self, recipe: Recipe) -> Recipe:
        """The recipe with names for paths and every weight written out."""
        single: dict[str, Any] = {field: _name(getattr(self, field)) for field in SINGLE}
        return replace(
            recipe,
            loras=tuple(with_weight(lora.name, weight) for lora, weight in self.loras),
            embeddings=tuple(one.name for one in self.embeddings),
            **single,
        )


def _name(addition: Addition | None) -> str | None:
    return addition.name if addition else None


def find_additions(recipe: Recipe, folders: Sequence[Path] = ()) -> Additions:
    """What the recipe names, by name or path.

    Raises what `find_addition` does, and BadRecipe for a LoRA or a word that is there twice.
    """

    def find(kind: str) -> Callable[[str], Addition]:
        return lambda source: find_addition(kind, source, folders)

    single: dict[str, Any] = {
        field: find(kind)(source)
        for field, kind in SINGLE.items()
        if (source := getattr(recipe, field))
    }
    weighed = [split_weight(text) for text in recipe.loras]
    loras = tuple((find(kinds.LORA)(source), weight) for source, weight in weighed)
    embeddings = tuple(map(find(kinds.EMBEDDING), recipe.embeddings))
    _refuse_twice("LoRA", [lora for lora, _ in loras])
    _refuse_twice("embedding", embeddings)
    return Additions(loras=loras, embeddings=embeddings, **single)


def changed(recorded: Mapping[str, Mapping[str, str]], found: Additions) -> list[str]:
    """The names of those whose sums, read again, are not what was recorded when they were used."""
    now = found.read_again().sums
    return [
        name
        for field, sums in recorded.items()
        for name, was in sums.items()
        if now.get(field, {}).get(name) != was
    ]


def _refuse_twice(what: str, additions: Sequence[Addition]) -> None:
    """One file under two weights would be two ways to write one picture."""
    seen: set[str] = set()
    for addition in additions:
        for mark in {addition.name, addition.hash}:
            if mark in seen:
                raise BadRecipe(f"The {what} {addition.name} is given twice.", "Give it once.")
        seen |= {addition.name, addition.hash}
