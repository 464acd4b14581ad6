"""Sources: the pictures that a recipe begins from or looks at, fetched from a library by their ids.

A recipe holds whole ids and nothing else, so that it can be drawn again wherever the library goes;
a file becomes a picture of the library first. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from index.errors import NoSuchPicture, SetExists, UnreadableImage
from sovgen.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

    from index import Library

# The fields of a recipe that name one picture; `reference` names several, with weights.
SINGLE = ("init", "mask", "control_image")
WHOLE = 52  # characters of an id that is not shortened
# The hidden set that keeps masks out of searches.
MASKS = "masks"


def pictures_named(recipe: Recipe) -> list[str]:
    """The ids, or their beginnings, of the pictures that the recipe names."""
    single = [getattr(recipe, field) for field in SINGLE]
    return [id for id in single if id] + [entry.partition(":")[0] for entry in recipe.reference]


def with_whole_ids(library: Library, recipe: Recipe, given: Container[str] = ()) -> Recipe:
    """The recipe with every beginning of an id made whole, but for those that are `given`.

    A hidden picture is found by its whole id, as recipes hold it, or as a mask.
    Raises NoSuchPicture or AmbiguousId.
    """
    whole = {
        id: id
        if id in given
        else find_source(library, id, hidden=id == recipe.mask or len(id) == WHOLE)
        for id in pictures_named(recipe)
    }
    single: dict[str, Any] = {f: whole[id] for f in SINGLE if (id := getattr(recipe, f))}
    return replace(recipe, **single, reference=tuple(_whole(e, whole) for e in recipe.reference))


def sources_of(
    library: Library, *recipes: Recipe, given: Mapping[str, Image.Image] = MappingProxyType({})
) -> Mapping[str, Image.Image]:
    """The pictures that the recipes name, by id, RGB or RGBA; those `given` are not looked up.

    Raises NoSuchPicture for one that is no longer in the library, UnreadableImage for a bad file
    or one that holds another picture now.
    """
    from index.export.source import read_source as read_kept

    ids = dict.fromkeys(id for recipe in recipes for id in pictures_named(recipe))
    entries = {id: library.get(id, hidden=True) for id in ids if id not in given}
    return {**given, **{id: read_kept(library.store, e).image for id, e in entries.items()}}


def keep_source(library: Library, path: Path, *, is_mask: bool = False) -> tuple[str, bool]:
    """Copy a file into the library, where recipes can name it; its id, and whether it is new.

    A mask that is new goes into a hidden set. Raises UnreadableImage, DiskFull or LibraryReadOnly.
    """
    id = read_source(path)[0]
    report = library.add([path])
    for failure in report.failed:
        raise UnreadableImage(failure.path, failure.reason)
    if is_mask and report.added:
        _hide(library, id)
    return id, bool(report.added)


def read_source(path: Path) -> tuple[str, Image.Image]:
    """A file's id and pixels, for whoever keeps no library. Raises UnreadableImage."""
    from index.record import read_picture

    record, image = read_picture(path)
    return record.id, image


def find_source(library: Library, word: str, *, hidden: bool = False) -> str:
    """The id of the picture whose id begins so. Raises NoSuchPicture or AmbiguousId.

    hidden: whether it may be a hidden one; masks are
    """
    try:
        return library.get(word, hidden=hidden).id
    except NoSuchPicture as error:
        raise NoSuchPicture(
            f"{word!r} is neither a file nor the beginning of a picture's id.",
            "See the ids: sovgen list",
        ) from error


def _hide(library: Library, id: str) -> None:
    from index import curate

    with suppress(SetExists):
        curate.new_set(library, MASKS)
        curate.hide_set(library, MASKS)
    curate.add_to_set(library, MASKS, [id])


def _whole(entry: str, whole: Mapping[str, str]) -> str:
    id, colon, weight = entry.partition(":")
    return f"{whole[id]}{colon}{weight}"
