"""Going over to another encoder amid everything else: search is that of the exact twin."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from index import Library, Query
from index.refresh import refresh
from tests.index.conftest import new, picture
from tests.index.given import Given
from tests.index.oracle import NumpyVectors
from tests.index.test_vectors import nearest

ENCODERS = (Given(), Given("other", 24))


class Moving(RuleBasedStateMachine):
    """Keep, delete, restore, empty, re-embed, snapshot, reopen, search and filter."""

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.encoder = ENCODERS[0]
        self.library = Library.create(self.folder / "library", self.encoder)
        self.ids: dict[int, str] = {}  # of the pictures by the numbers they are drawn from
        self.numbers: dict[int, int] = {}
        self.buried: set[int] = set()

    @rule(first=st.integers(0, 60), count=st.integers(1, 6))
    def keep(self, first: int, count: int) -> None:
        drawn = range(first, first + count)
        for n, entry in zip(
            drawn, self.library.keep([new(n, steps=n) for n in drawn]), strict=True
        ):
            self.ids[n], self.numbers[n] = entry.id, entry.seq
            self.buried.discard(n)

    @rule(place=st.integers(0, 99))
    def delete(self, place: int) -> None:
        if alive := sorted(self.ids.keys() - self.buried):
            n = alive[place % len(alive)]
            self.library.delete([self.ids[n]])
            self.buried.add(n)

    @rule(place=st.integers(0, 99))
    def restore(self, place: int) -> None:
        if self.buried:
            n = sorted(self.buried)[place % len(self.buried)]
            self.library.restore([self.ids[n]])
            self.buried.discard(n)

    @rule()
    def empty(self) -> None:
        self.library.empty_trash()
        for n in self.buried:
            del self.ids[n], self.numbers[n]
        self.buried.clear()

    @rule(which=st.sampled_from(ENCODERS))
    def re_embed(self, which: Given) -> None:
        assert self.library.reembed(which).failed == []
        self.encoder = which

    @rule()
    def take_snapshot(self) -> None:
        refresh(self.library.store, force=True)

    @rule()
    def reopen(self) -> None:
        self.library = Library.open(self.library.root, self.encoder)

    @rule(k=st.sampled_from([1, 5, None]), top=st.integers(0, 66))
    def search(self, k: int | None, top: int) -> None:
        twin = NumpyVectors()
        for n, number in self.numbers.items():
            twin.rows[number] = self.encoder.encode_images([picture(n)])[0]
        aim = self.encoder.encode_texts([f"{k} {top}"])[0]
        alive = {self.numbers[n] for n in self.ids.keys() - self.buried}
        twin.check(nearest(self.library, aim, k), aim, k, alive)
        passing = {self.numbers[n] for n in self.ids.keys() - self.buried if n < top}
        twin.check(nearest(self.library, aim, k, Query(where=f"steps < {top}")), aim, k, passing)

    def teardown(self) -> None:
        self.search(None, 30)
        assert self.library.verify() == []
        shutil.rmtree(self.folder)


TestMoving = Moving.TestCase
TestMoving.settings = settings(
    max_examples=3,
    stateful_step_count=14,
)
