"""Search: a query becomes hits, inside one reader's turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from index import catalogue, fusion, lexical, meanings, ranking, registered, selection, upkeep
from index.aim import Aim, aimed, encoded
from index.answer import Answer, Hit
from index.query import Query, terms_of

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.encoder import Encoder
    from index.lexical import Lexical
    from index.passing import Passing
    from index.ranking import Ranking
    from index.registered import Registered
    from index.store import Store

ANY = -1.0


def search(store: Store, query: Query, encoder: Callable[[], Encoder]) -> Answer:
    """The pictures that fit best, filtered exactly; see Query.

    encoder: called only when words or a file have to be encoded
    Raises BadQuery, NoSuchPicture, AmbiguousId, NoSuchSet, UnreadableImage or EncoderMismatch.
    """
    return _by_words(store, query) if query.mode == "words" else _by_look(store, query, encoder)


def _by_words(store: Store, query: Query) -> Answer:
    with store.reading() as connection:
        passing = selection.passing(connection, query)
        found = lexical.find(connection, terms_of(query), passing)
        ranked = ranking.by_words(found)
        shown = ranked.chosen(slice(query.k))
        hits = _hits(connection, store, shown, found, None)
    return Answer(hits, ANY, matched=bool(hits), mode="words")


def _by_look(store: Store, query: Query, encoder: Callable[[], Encoder]) -> Answer:
    terms = terms_of(query)
    known = encoded(terms, encoder)
    with store.reading() as connection:
        active = registered.active(connection)
        if known:
            registered.require(active, encoder())
        aim = aimed(connection, active.fingerprint, terms, known)
        passing = selection.passing(connection, query)
        found = None
        if query.mode == "both":
            kin = partial(meanings.near, connection, encoder()) if known else None
            found = lexical.find(connection, terms, passing, kin)
        # by the look alone where no picture has any of the words
        found = found if found is not None and len(found.numbers) else None
        ranked = _ranked(connection, store, active, aim, query, passing, found)
        floor = ANY if aim.words is None else _floor(encoder(), aim.words)
        good = aim.fits(ranked.rows) >= floor
        if found is not None:
            good |= found.is_strong(ranked.numbers)
        shown = ranked if query.everything else ranked.chosen(good)
        hits = _hits(connection, store, shown.chosen(slice(query.k)), found, aim)
        is_due = upkeep.is_due(connection, store, active)
    if is_due:
        upkeep.begin(store)
    return Answer(hits, floor, matched=bool(good.any()), mode="both" if found else "pixels")


def _ranked(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    active: Registered,
    aim: Aim,
    query: Query,
    passing: Passing,
    found: Lexical | None,
) -> Ranking:
    place = (connection, store.root, active, aim.direction, query.k, passing)
    if found:
        return ranking.by_both(*place, found, exact=query.exact)
    return ranking.by_look(*place, exact=query.exact)


def _floor(encoder: Encoder, words: NDArray[np.float32]) -> float:
    from index.matching import match_floor

    return match_floor(encoder, words)


def _hits(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    shown: Ranking,
    found: Lexical | None,
    aim: Aim | None,
) -> list[Hit]:
    entries = catalogue.entries(connection, store.root, shown.numbers.tolist())
    by_look, by_words = _shares(shown, found, aim)
    return [
        Hit(
            entry,
            float(shown.scores[place]),
            parts=aim.parts(shown.rows[place]) if aim else {},
            shares=aim.shares(shown.rows[place]) if aim else {},
            words=found.matched(entry.seq) if found else {},
            words_score=found.score(entry.seq) if found else 0.0,
            looks_rank=int(shown.looks[place]),
            words_rank=int(shown.words[place]),
            looks_share=float(by_look[place]),
            words_share=float(by_words[place]),
        )
        for place, entry in zip(range(len(shown.numbers)), entries, strict=True)
    ]


def _shares(
    shown: Ranking, found: Lexical | None, aim: Aim | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What looks and words add to each score, (n,)."""
    import numpy as np

    nothing = np.zeros(len(shown.scores), np.float32)
    if aim is None:
        return nothing, shown.scores
    if found is None:
        return shown.scores, nothing
    having = np.array([found.score(number) for number in shown.numbers.tolist()], np.float32)
    return fusion.parts(shown.looks, shown.words, having)
