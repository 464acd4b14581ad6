"""Search: a query becomes hits, inside one reader's turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, refresh, registered, selection, vectors
from index.answer import Answer, Hit
from index.errors import NoSuchPicture
from index.query import Query, Term, direction, terms_of

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.encoder import Encoder
    from index.registered import Registered
    from index.store import Store

    Row = NDArray[np.float32]

ANY = -1.0
_ID = re.compile(r"[a-z2-7]{4,52}", re.IGNORECASE)


def search(store: Store, query: Query, encoder: Callable[[], Encoder]) -> Answer:
    """The pictures that fit best, filtered exactly; see Query.

    encoder: called only when words or a file have to be encoded
    Raises BadQuery, NoSuchPicture, AmbiguousId, NoSuchSet, UnreadableImage or EncoderMismatch.
    """
    import numpy as np

    terms = terms_of(query)
    encoded = _encoded(terms, encoder)
    with store.reading() as connection:
        active = registered.active(connection)
        if encoded:
            registered.require(active, encoder())
        rows = _rows(connection, active, terms, encoded)
        passing = selection.allowed(connection, query)
        aim = direction(terms, rows)
        near = vectors.nearest(connection, store.root, active, aim, query.k, passing)
        words = _words_alone(terms, rows)
        floor = ANY if words is None else _floor(encoder(), words)
        fits = np.ones(len(near.rows)) if words is None else near.rows @ words
        shown = near if query.everything else near.cut(fits >= floor)
        entries = catalogue.entries(connection, store.root, shown.numbers.tolist())
        is_due = refresh.is_due(connection, store, active)
    if is_due:
        refresh.refresh(store)
    parts = shown.rows @ rows.T
    hits = [
        Hit(entry, float(score), _parts(terms, part))
        for entry, score, part in zip(entries, shown.scores, parts, strict=True)
    ]
    return Answer(hits, floor, matched=bool((fits >= floor).any()))


def _rows(
    connection: duckdb.DuckDBPyConnection,
    active: Registered,
    terms: Sequence[Term],
    encoded: Mapping[int, Row],
) -> Row:
    """The unit vectors (n, width) of all terms."""
    import numpy as np

    return np.stack(
        [
            encoded[n] if n in encoded else _stored(connection, active.fingerprint, term)
            for n, term in enumerate(terms)
        ]
    )


def _encoded(terms: Sequence[Term], encoder: Callable[[], Encoder]) -> dict[int, Row]:
    """The unit vectors (width,) of the terms that are words or files, by their places."""
    from index.record import read_picture

    texts = {n: t.text for n, t in enumerate(terms) if t.text is not None}
    files = {
        n: Path(t.like) for n, t in enumerate(terms) if t.like is not None and _is_file(t.like)
    }
    found: dict[int, Row] = {}
    if texts:
        found.update(zip(texts, encoder().encode_texts(list(texts.values())), strict=True))
    if files:
        images = [read_picture(path)[1] for path in files.values()]
        found.update(zip(files, encoder().encode_images(images), strict=True))
    return found


def _is_file(like: str | Path) -> bool:
    """Whether a picture to resemble is a file, not an id: a name that looks like an id is one."""
    return isinstance(like, Path) or _ID.fullmatch(like) is None


def _stored(connection: duckdb.DuckDBPyConnection, fingerprint: str, term: Term) -> Row:
    number = catalogue.resolve(connection, str(term.like))
    _, rows = vectors.read(connection, fingerprint, "picture = ?", [number])
    if not len(rows):
        raise NoSuchPicture(
            f"Picture {term.like} has no vector.",
            "Its file could not be read when the library was embedded; see library verify.",
        )
    found: Row = rows[0]
    return found


def _words_alone(terms: Sequence[Term], rows: Row) -> Row | None:
    """The direction (width,) of the words that are looked for; None beside any picture."""
    if any(term.like is not None for term in terms):
        return None
    wanted = [n for n, term in enumerate(terms) if term.weight > 0]
    return direction([terms[n] for n in wanted], rows[wanted]) if wanted else None


def _floor(encoder: Encoder, words: Row) -> float:
    from index.matching import match_floor

    return match_floor(encoder, words)


def _parts(terms: Sequence[Term], cosines: Row) -> dict[str, float]:
    return {term.label: float(cosine) for term, cosine in zip(terms, cosines, strict=True)}
