"""Aim: where a query points to, in the space in which an encoder sees pictures and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, vectors
from index.errors import NoSuchPicture, UnreadableImage
from index.query import Term, direction

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index.encoder import Encoder

    Row = NDArray[np.float32]

_ID = re.compile(r"[a-z2-7]{4,52}", re.IGNORECASE)


@dataclass(frozen=True)
class Aim:
    """The terms of a query as unit vectors.

    rows (n, width): of the n terms; direction (width,): of all together
    words (width,): of the words that are looked for, alone; None beside any picture
    """

    terms: Sequence[Term]
    rows: Row
    direction: Row
    words: Row | None

    def fits(self, rows: Row) -> Row:
        """How well pictures (m, width) fit the words alone, (m,): cosines; 1 beside a picture."""
        import numpy as np

        return np.ones(len(rows), np.float32) if self.words is None else rows @ self.words

    def parts(self, row: Row) -> dict[str, float]:
        """The cosine of a picture (width,) with each term, by the term's label."""
        cosines = self.rows @ row
        return {t.label: float(c) for t, c in zip(self.terms, cosines, strict=True)}

    def shares(self, row: Row) -> dict[str, float]:
        """What each term adds to the cosine of a picture (width,) with the direction."""
        import numpy as np

        weights = np.array([term.weight for term in self.terms], np.float32)
        added = weights * (self.rows @ row) / np.linalg.norm(weights @ self.rows)
        shares: dict[str, float] = {}
        for term, each in zip(self.terms, added.tolist(), strict=True):
            shares[term.label] = shares.get(term.label, 0.0) + each
        return shares


def encoded(terms: Sequence[Term], encoder: Callable[[], Encoder]) -> dict[int, Row]:
    """The unit vectors (width,) of the terms that are words or files, by their places.

    encoder: called only when there are any. Raises UnreadableImage.
    """
    texts = {n: t.text for n, t in enumerate(terms) if t.text is not None}
    files = {
        n: Path(t.like) for n, t in enumerate(terms) if t.like is not None and _is_file(t.like)
    }
    found: dict[int, Row] = {}
    if texts:
        found.update(zip(texts, encoder().encode_texts(list(texts.values())), strict=True))
    if files:
        images = [_seen(path) for path in files.values()]
        found.update(zip(files, encoder().encode_images(images), strict=True))
    return found


def aimed(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    terms: Sequence[Term],
    known: Mapping[int, Row],
) -> Aim:
    """The aim of all terms; those that are not known are pictures of the library.

    Raises BadQuery, NoSuchPicture or AmbiguousId.
    """
    import numpy as np

    rows = np.stack(
        [
            known[n] if n in known else _stored(connection, fingerprint, term)
            for n, term in enumerate(terms)
        ]
    )
    return Aim(terms, rows, direction(terms, rows), _words_alone(terms, rows))


def _seen(path: Path) -> Image.Image:
    from index.record import read_picture

    try:
        return read_picture(path)[1]
    except UnreadableImage as error:
        error.hint = "Give a picture file, or the beginning of an id: sovgen list"
        raise


def _is_file(like: str | Path) -> bool:
    """Whether a picture to resemble is a file, not an id: a name that looks like an id is one."""
    return isinstance(like, Path) or _ID.fullmatch(like) is None


def _stored(connection: duckdb.DuckDBPyConnection, fingerprint: str, term: Term) -> Row:
    number = catalogue.resolve(connection, str(term.like), hidden=False)
    _, rows = vectors.read(connection, fingerprint, "picture = ?", [number])
    if not len(rows):
        raise NoSuchPicture(
            f"Picture {term.like} has no vector.",
            "Its file could not be read when the library was embedded; see library verify.",
        )
    found: Row = rows[0]
    return found


def _words_alone(terms: Sequence[Term], rows: Row) -> Row | None:
    if any(term.like is not None for term in terms):
        return None
    wanted = [n for n, term in enumerate(terms) if term.weight > 0]
    return direction([terms[n] for n in wanted], rows[wanted]) if wanted else None
