"""Keeping: pictures that were made here take their place in the library, file and all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import placing, upkeep
from index.intake import Incoming, take_in
from index.making import Making
from index.record import Record, pixel_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index.encoder import Encoder
    from index.entry import Entry
    from index.store import Store


# After so many pictures, see whether the snapshot is behind; seeing costs one more read.
LOOK_EVERY = 500


@dataclass(frozen=True)
class New:
    """A picture made here: its PNG's bytes, the beginning of its name, its pixels, its making.

    stem: may be any text; the file's name is made of it, of the id, and of nothing else
    text_vector: the prompt's unit vector (width,), when the caller has it already
    """

    data: bytes
    stem: str
    image: Image.Image
    making: Making | None
    text_vector: NDArray[np.float32] | None = None


def keep(store: Store, encoder: Encoder, pictures: Sequence[New]) -> list[Entry]:
    """Write the files, look at the pictures and commit, all or none; entries in their order.

    See `index.intake.take_in` for what is raised.
    """
    if not pictures:
        return []
    entries = [t.entry for t in take_in(store, encoder, [_incoming(p) for p in pictures])]
    numbers = [entry.seq for entry in entries]
    if (min(numbers) - 1) // LOOK_EVERY != max(numbers) // LOOK_EVERY:
        upkeep.look(store)
    return entries


def _incoming(picture: New) -> Incoming:
    stem = placing.slug(picture.stem)
    return Incoming(
        _record(picture, stem), picture.image, stem, lambda: picture.data, picture.text_vector
    )


def _record(picture: New, stem: str) -> Record:
    return Record(
        path=Path(stem),
        raw_path=None,
        bytes=len(picture.data),
        file_sha256=hashlib.sha256(picture.data).hexdigest(),
        id=pixel_id(picture.image),
        width=picture.image.width,
        height=picture.image.height,
        media="image/png",
        frames=1,
        mtime_ns=0,
        making=picture.making,
    )
