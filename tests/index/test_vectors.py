"""Vectors: whatever happens to rows and snapshots, the answer is that of the exact twin."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from index import (
    Library,
    Query,
    blocks,
    mapped,
    registered,
    scan,
    selection,
    snapshot,
    sound,
    vectors,
)
from index.nearest import SLACK, Near
from index.nearest import nearest as asked
from index.refresh import YOUNG_ROWS, allowance, refresh
from index.snapshot import POINTER
from tests.index.given import WIDTH, Given
from tests.index.oracle import NumpyVectors
from tests.index.rows import id_of, insert_rows, unit

ROWS_ALONE = {"missing", "thumbnail"}  # what `verify` says of rows without files
NOISE = np.random.default_rng(7)


def nearest(library: Library, aim: object, k: int | None, query: Query = Query()) -> Near:  # noqa: B008
    with library.store.reading() as connection:
        active = registered.active(connection)
        passing = selection.passing(connection, query)
        place = (connection, library.root, active, np.asarray(aim), k, passing)
        return asked(*place, exact=query.exact)


def snapshots_of(library: Library) -> Path:
    return library.root / "vectors" / library.encoder.fingerprint[:16]


def has_sound_snapshot(library: Library) -> bool:
    with library.store.reading() as connection:
        active = registered.active(connection)
        return sound.current(connection, library.root, active) is not None


class Shelf(RuleBasedStateMachine):
    """Insert, delete, restore, empty, snapshot, damage, reopen and search, against the twin."""

    numbers: Bundle[int] = Bundle("numbers")

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.library = Library.create(self.folder / "library", Given())
        self.twin = NumpyVectors()
        self.steps: dict[int, int] = {}
        self.buried: set[int] = set()

    @rule(target=numbers, count=st.integers(1, 40), spread=st.sampled_from([0.0, 1e-4, 1.0]))
    def insert(self, count: int, spread: float) -> int:
        """From all alike to all different: ties and near ties are where rounding would show."""
        centre = NOISE.normal(size=WIDTH)
        rows = unit(centre + spread * NOISE.normal(size=(count, WIDTH)))
        steps = NOISE.integers(0, 10, count).tolist()
        numbers = insert_rows(self.library, rows, steps)
        self.twin.rows.update(zip(numbers, rows, strict=True))
        self.steps.update(zip(numbers, steps, strict=True))
        return numbers[0]

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        if number in self.twin.rows and number not in self.buried:
            self.library.delete([id_of(number)])
            self.buried.add(number)

    @rule(number=numbers)
    def restore(self, number: int) -> None:
        if number in self.buried:
            self.library.restore([id_of(number)])
            self.buried.discard(number)

    @rule()
    def empty(self) -> None:
        assert self.library.empty_trash() == len(self.buried)
        for number in self.buried:
            del self.twin.rows[number]
        self.buried.clear()

    @rule(patience_ms=st.sampled_from([0.0, 1000.0]))
    def take_snapshot(self, patience_ms: float) -> None:
        """In pages, or in clusters; of so few clusters a search goes through all."""
        assert refresh(self.library.store, force=True, patience_ms=patience_ms)
        assert has_sound_snapshot(self.library)

    @rule(place=st.floats(0, 1))
    def damage(self, place: float) -> None:
        for path in snapshots_of(self.library).glob("snap-*.faiss"):
            data = bytearray(path.read_bytes())
            data[int(place * (len(data) - 1))] ^= 1
            path.write_bytes(data)
            assert not has_sound_snapshot(self.library)

    @rule()
    def reopen(self) -> None:
        self.library = Library.open(self.library.root, Given())

    @rule(k=st.sampled_from([1, 5, 60, None]), top=st.integers(0, 10))
    def search(self, k: int | None, top: int) -> None:
        aim = unit(NOISE.normal(size=WIDTH))
        if self.twin.rows and NOISE.random() < 0.7:  # among near ties, not in the void
            aim = self.twin.rows[int(NOISE.choice(list(self.twin.rows)))]
        alive = set(self.twin.rows) - self.buried
        self.twin.check(nearest(self.library, aim, k), aim, k, alive)
        passing = {n for n in alive if self.steps[n] < top}
        query = Query(where=f"steps < {top}")
        self.twin.check(nearest(self.library, aim, k, query), aim, k, passing)

    @invariant()
    def count(self) -> None:
        info = self.library.info()
        assert info.vectors == len(self.twin.rows)
        assert info.pictures == len(self.twin.rows) - len(self.buried)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestShelf = Shelf.TestCase
TestShelf.settings = settings(
    max_examples=6,
    stateful_step_count=18,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Library, NumpyVectors]:
    """Five thousand rows in clusters, most of them in a snapshot, steps 0 .. 9999 on them."""
    library = Library.create(tmp_path_factory.mktemp("full") / "library", Given())
    twin = NumpyVectors()
    centres = NOISE.normal(size=(50, WIDTH))
    for count in (4500, 500):
        rows = unit(centres[NOISE.integers(0, 50, count)] + 0.1 * NOISE.normal(size=(count, WIDTH)))
        numbers = insert_rows(library, rows, NOISE.integers(0, 10_000, count).tolist())
        twin.rows.update(zip(numbers, rows, strict=True))
        if count == 4500:
            assert refresh(library.store)
    return library, twin


@pytest.mark.parametrize("share", [0, 1, 10, 100, 1000, 10_000])
def test_filtered_answers_are_exact_at_any_selectivity(
    full: tuple[Library, NumpyVectors], share: int
) -> None:
    library, twin = full
    assert has_sound_snapshot(library)
    query = Query(where=f"steps < {share}", k=None)
    passing = {entry.seq for entry in library.list(query)}
    for aim in unit(NOISE.normal(size=(5, WIDTH))):
        twin.check(nearest(library, aim, 10, query), aim, 10, passing)


def test_the_snapshot_alone_would_not_be_exact(full: tuple[Library, NumpyVectors]) -> None:
    """Half precision moves scores, by less than the slack: that is why they are computed again."""
    library, twin = full
    moved = []
    with library.store.reading() as connection:
        active = registered.active(connection)
        now = snapshot.current(library.root, active)
        assert now is not None
        index = snapshot.loaded(snapshots_of(library), now)
        for aim in unit(NOISE.normal(size=(20, WIDTH))):
            scores, numbers = scan.candidates(index, aim, 50)
            moved += [
                abs(float(twin.rows[n] @ aim) - s) for n, s in zip(numbers, scores, strict=True)
            ]
    assert 1e-6 < max(moved) < SLACK


def test_among_hundreds_of_near_ties_the_best_is_found(library: Library) -> None:
    """Closer together than half precision can tell: candidates are fetched until none can beat."""
    rows = unit(NOISE.normal(size=WIDTH) + 1e-4 * NOISE.normal(size=(400, WIDTH)))
    insert_rows(library, rows, [0] * 400)
    refresh(library.store, force=True)
    twin = NumpyVectors()
    twin.rows.update(enumerate(rows, 1))
    for aim in unit(rows[:10] + 0.5 * NOISE.normal(size=(10, WIDTH))):
        near = nearest(library, aim, 1)
        best = rows.astype(np.float64) @ aim.astype(np.float64)
        assert best.max() - best[near.numbers[0] - 1] < 1e-7


def test_a_snapshot_is_due_when_too_many_rows_are_missing(
    full: tuple[Library, NumpyVectors],
) -> None:
    library, _ = full
    assert not refresh(library.store)
    assert allowance(10) == YOUNG_ROWS and allowance(1_000_000) == 20_000
    assert "4,500 vectors" in library.info().index and "500 newer" in library.info().index


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge_the_pointer(path: Path) -> None:
    pointer = path.with_name(POINTER)
    values = json.loads(pointer.read_bytes())
    pointer.write_text(json.dumps({**values, "count": values["count"] + 1}))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut short": cut_short,
    "one bit": flip_a_bit,
    "gone": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "garbage pointer": lambda path: path.with_name(POINTER).write_bytes(b"\x00{"),
    "half a pointer": lambda path: cut_short(path.with_name(POINTER)),
    "forged pointer": forge_the_pointer,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_snapshot_is_never_served_and_is_made_again(
    library: Library, damage: Callable[[Path], None]
) -> None:
    rows = unit(NOISE.normal(size=(300, WIDTH)))
    insert_rows(library, rows, [0] * 300)
    refresh(library.store, force=True)
    (path,) = snapshots_of(library).glob("snap-*.faiss")
    damage(path)
    assert [d.kind for d in library.verify() if d.kind == "snapshot"] == ["snapshot"]
    best = library.search(Query("anything", k=1, everything=True)).hits[0]
    aim = library.encoder.encode_texts(["anything"])[0]
    assert best.entry.seq == 1 + int(np.argmax(rows @ aim))
    library.refresh()  # whoever the search has started is waited for
    assert has_sound_snapshot(library)
    assert not [d for d in library.verify() if d.kind == "snapshot"]


def rot(path: Path, place: int) -> None:
    """One bit turns, and neither size nor time tells."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[place] ^= 64
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_rot_is_seen_in_what_is_read(
    library: Library, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    monkeypatch.setattr(blocks, "SIZE", 512)
    rows = unit(NOISE.normal(size=(600, WIDTH)))
    insert_rows(library, rows, [n % 5 for n in range(600)])
    refresh(library.store, force=True)
    (path,) = snapshots_of(library).glob("snap-*.faiss")
    os.utime(path, ns=(0, 10**18))
    query = Query("anything", k=3, everything=True, where="steps = 0", mode="pixels")
    before = [hit.entry.seq for hit in library.search(query).hits]
    for _ in range(2):
        assert has_sound_snapshot(library)
        rot(path, int(place * path.stat().st_size))
        monkeypatch.setattr(mapped, "_last", None)  # as another process would find it
        assert has_sound_snapshot(library)
        asking = [library.search(query) for _ in range(mapped.FEW + 2)]  # in pieces, then gathered
        assert all([hit.entry.seq for hit in answer.hits] == before for answer in asking)
        assert not [d for d in library.verify() if d.kind == "snapshot"]
        refresh(library.store, force=True)
        (path,) = snapshots_of(library).glob("snap-*.faiss")
        os.utime(path, ns=(0, 10**18))


def test_nothing_is_added_to_a_snapshot_that_rotted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made of it would have sums of its own, and be taken for sound."""
    monkeypatch.setattr(blocks, "SIZE", 512)
    rows = unit(NOISE.normal(size=(900, WIDTH)))
    insert_rows(library, rows[:600], [0] * 600)
    refresh(library.store, force=True)
    (path,) = snapshots_of(library).glob("snap-*.faiss")
    os.utime(path, ns=(0, 10**18))
    assert has_sound_snapshot(library)
    data = path.read_bytes()
    for row in rows[:600:7]:
        rot(path, data.index(_halves(row)) + 1)  # the exponent of its first number
    assert has_sound_snapshot(library)  # as far as anybody remembers
    insert_rows(library, rows[600:], [0] * 300)
    refresh(library.store, force=True)
    (path,) = snapshots_of(library).glob("snap-*.faiss")
    written = path.read_bytes()
    assert all(_halves(row) in written for row in rows)


def _halves(row: NDArray[np.float32]) -> bytes:
    """A row as FAISS writes it, which now and then rounds otherwise than numpy."""
    coder = faiss.ScalarQuantizer(len(row), faiss.ScalarQuantizer.QT_fp16)
    coder.train(row[None])
    return bytes(coder.compute_codes(row[None]).tobytes())


def test_what_was_emptied_is_left_out_until_the_snapshot_is_mended(library: Library) -> None:
    """Another process writes snapshots meanwhile, so that emptying cannot."""
    twin = NumpyVectors()
    rows = unit(NOISE.normal(size=(300, WIDTH)))
    twin.rows.update(zip(insert_rows(library, rows, [0] * 300), rows, strict=True))
    refresh(library.store, force=True)
    gone = [3, 150, 300]
    library.delete([id_of(number) for number in gone])
    with FileLock(snapshots_of(library) / "building"):
        library.empty_trash()
        with library.store.reading() as connection:
            held = sound.current(connection, library.root, registered.active(connection))
        assert held is not None and sorted(held.gone.tolist()) == gone
        assert [d.kind for d in library.verify() if d.kind not in ROWS_ALONE] == ["snapshot"]
        for number in gone:
            aim = twin.rows[number]
            for query in (Query(), Query(where="steps = 0")):
                alive = set(twin.rows) - set(gone)
                twin.check(nearest(library, aim, 10, query), aim, 10, alive)
    assert refresh(library.store)
    assert has_sound_snapshot(library)
    assert {d.kind for d in library.verify()} <= ROWS_ALONE
    (path,) = snapshots_of(library).glob("snap-*.faiss")
    data = path.read_bytes()
    assert [n for n in twin.rows if _halves(twin.rows[n]) in data] == sorted(
        set(twin.rows) - set(gone)
    )


def test_a_snapshot_of_other_rows_is_never_served(library: Library) -> None:
    """As many rows, other numbers: the count alone would not tell."""
    insert_rows(library, unit(NOISE.normal(size=(3, WIDTH))), [0, 0, 0])
    refresh(library.store, force=True)
    with library.store.writing() as connection:
        table = vectors.table(library.encoder.fingerprint)
        connection.execute(f"UPDATE {table} SET picture = 0 WHERE picture = 1")
    assert not has_sound_snapshot(library)


def test_old_snapshots_go_and_whoever_maps_one_keeps_it(library: Library) -> None:
    insert_rows(library, unit(NOISE.normal(size=(10, WIDTH))), [0] * 10)
    refresh(library.store, force=True)
    with library.store.reading() as connection:
        now = snapshot.current(library.root, registered.active(connection))
    assert now is not None
    old = mapped.opened(snapshots_of(library) / now.file, now.sums)
    assert old is not None
    insert_rows(library, unit(NOISE.normal(size=(10, WIDTH))), [0] * 10)
    refresh(library.store, force=True)
    assert len(list(snapshots_of(library).glob("snap-*"))) == 1
    assert not (snapshots_of(library) / now.file).exists()
    aim = unit(NOISE.normal(size=WIDTH))
    assert len(scan.candidates(old.index, aim, 10)[1]) == 10


def test_numbers_are_never_given_twice(library: Library) -> None:
    insert_rows(library, unit(NOISE.normal(size=(3, WIDTH))), [0] * 3)
    refresh(library.store, force=True)
    library.delete([id_of(3)])
    library.empty_trash()
    assert insert_rows(library, unit(NOISE.normal(size=(1, WIDTH))), [0]) == [4]
    found = library.search(Query("anything", everything=True)).hits
    assert sorted(hit.entry.seq for hit in found) == [1, 2, 4]


def test_a_name_that_is_no_fingerprint_is_no_table() -> None:
    with pytest.raises(ValueError, match="no fingerprint"):
        vectors.table("x; DROP TABLE pictures")
