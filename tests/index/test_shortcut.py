"""Shortcut: where a scan would take long, few clusters are searched, and hardly one is missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from index import Library, Query, nearest, registered, scan, selection, snapshot, sound
from index.refresh import refresh
from tests.index.given import WIDTH, Given
from tests.index.oracle import NumpyVectors, recall
from tests.index.rows import id_of, insert_rows, unit

NOISE = np.random.default_rng(11)
ROWS = 12_000
AIMS = 40


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Library, NumpyVectors]:
    """Rows in a hundred clusters, most of them in a snapshot that was made without any patience."""
    library = Library.create(tmp_path_factory.mktemp("many") / "library", Given())
    twin = NumpyVectors()
    centres = NOISE.normal(size=(100, WIDTH))
    for count in (ROWS - 300, 300):
        own = centres[NOISE.integers(0, 100, count)]
        rows = unit(own + 0.5 * NOISE.normal(size=(count, WIDTH)))
        numbers = insert_rows(library, rows, NOISE.integers(0, 1000, count).tolist())
        twin.rows.update(zip(numbers, rows, strict=True))
        if count > 300:
            assert refresh(library.store, force=True, patience_ms=0.0)
    return library, twin


def plan_of(library: Library) -> snapshot.Plan:
    with library.store.reading() as connection:
        active = registered.active(connection)
        now = sound.current(connection, library.root, active)
        assert now is not None
        return now.snapshot.plan


def found(library: Library, aim: np.ndarray, k: int, query: Query = Query()) -> nearest.Near:  # noqa: B008
    with library.store.reading() as connection:
        active = registered.active(connection)
        passing = selection.passing(connection, query)
        place = (connection, library.root, active, aim, k, passing)
        return nearest.nearest(*place, exact=query.exact)


def aims(twin: NumpyVectors) -> np.ndarray:
    """Half of them rows, half of them anything at all, as texts are to pictures."""
    rows = np.stack([twin.rows[n] for n in NOISE.choice(list(twin.rows), AIMS // 2)])
    return np.concatenate([rows, unit(NOISE.normal(size=(AIMS // 2, WIDTH)))])


def test_few_clusters_are_searched_and_hardly_one_is_missed(
    many: tuple[Library, NumpyVectors],
) -> None:
    library, twin = many
    plan = plan_of(library)
    assert 0 < plan.probes < plan.lists and plan.recall >= 0.99
    pairs = [(found(library, a, 10), twin.nearest(a, 10, twin.rows)) for a in aims(twin)]
    assert recall(pairs) >= 0.99
    for near, _ in pairs:
        for number, score in zip(near.numbers.tolist(), near.scores, strict=True):
            assert twin.rows[number].dtype == np.float32
            assert len(near.numbers) == 10 and abs(score) <= 1.0 + 1e-6


def test_hardly_one_is_missed_where_the_nearest_were_deleted(
    many: tuple[Library, NumpyVectors],
) -> None:
    """A hundred of the nearest of one aim, so that all of its answers lie farther out."""
    library, twin = many
    wanted = aims(twin)
    gone = [n for n, _ in twin.nearest(wanted[0], 100, twin.rows)]
    library.delete([id_of(n) for n in gone])
    alive = set(twin.rows) - set(gone)
    pairs = [(found(library, a, 10), twin.nearest(a, 10, alive)) for a in wanted]
    assert not {n for near, _ in pairs for n in near.numbers.tolist()} & set(gone)
    assert recall(pairs) >= 0.99 and recall(pairs[:1]) >= 0.9
    library.restore([id_of(n) for n in gone])


@pytest.mark.parametrize("share", [1, 10, 100, 1000])
def test_filters_are_exact_all_the_same(many: tuple[Library, NumpyVectors], share: int) -> None:
    library, twin = many
    query = Query(where=f"steps < {share}", k=None)
    passing = {entry.seq for entry in library.list(query)}
    for aim in aims(twin)[::10]:
        twin.check(found(library, aim, 10, query), aim, 10, passing)


def test_exact_can_be_asked_for(many: tuple[Library, NumpyVectors]) -> None:
    library, twin = many
    for aim in aims(twin)[::5]:
        twin.check(found(library, aim, 10, Query(exact=True)), aim, 10, twin.rows)


def test_many_are_looked_for_in_all_rows(many: tuple[Library, NumpyVectors]) -> None:
    library, twin = many
    aim = aims(twin)[-1]
    twin.check(found(library, aim, 500), aim, 500, twin.rows)


def test_info_tells_which_index_and_why(many: tuple[Library, NumpyVectors]) -> None:
    library, _ = many
    told, plan = library.info().index, plan_of(library)
    assert told.startswith("approximate: 11,700 vectors") and "300 newer rows" in told
    assert f"{plan.probes} of {plan.lists} clusters" in told and f"{plan.recall:.3f}" in told


def test_a_scan_that_is_fast_enough_stays_exact(library: Library) -> None:
    insert_rows(library, unit(NOISE.normal(size=(500, WIDTH))), [0] * 500)
    refresh(library.store, force=True)
    assert library.info().index.startswith("exact: 500 vectors")
    refresh(library.store, force=True, patience_ms=0.0)
    assert plan_of(library).trained == 500
    refresh(library.store, force=True)
    assert plan_of(library).trained == 0


def test_clusters_are_kept_while_a_library_grows_and_found_anew_once_it_has(
    library: Library,
) -> None:
    insert_rows(library, unit(NOISE.normal(size=(100, WIDTH))), [0] * 100)
    for rows, trained in ((50, 100), (100, 100 + 50 + 100)):
        refresh(library.store, force=True, patience_ms=0.0)
        insert_rows(library, unit(NOISE.normal(size=(rows, WIDTH))), [0] * rows)
        refresh(library.store, force=True, patience_ms=0.0)
        assert plan_of(library).trained == trained


def test_a_scan_costs_in_proportion_to_its_rows() -> None:
    assert 0 < scan.cost_ms(1, WIDTH)
    assert scan.cost_ms(40_000_000, WIDTH) > scan.cost_ms(4_000, WIDTH)


def test_without_a_snapshot_the_rows_themselves_answer(library: Library) -> None:
    rows = unit(NOISE.normal(size=(300, WIDTH)))
    insert_rows(library, rows, [0] * 300)
    twin = NumpyVectors()
    twin.rows.update(enumerate(rows, 1))
    for query in (Query(), replace(Query(), exact=True)):
        twin.check(found(library, rows[7], 10, query), rows[7], 10, twin.rows)
