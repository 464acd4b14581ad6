"""Keeping runs behind drawing, told by what waits for what, never by a clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from sovgen import keeping
from sovgen.keeping import keep_behind

# Waited so long only by a test that is about to fail.
PATIENCE_S = 30


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit begins with the first picture."""
    monkeypatch.setattr(keeping, "PAUSE_S", 0.0)


def test_next_picture_is_drawn_while_the_one_before_is_kept() -> None:
    keeps, drawn, waits = threading.Event(), threading.Event(), list[bool]()

    def pictures() -> Iterator[str]:
        yield "first"
        waits.append(keeps.wait(PATIENCE_S))
        drawn.set()
        yield "second"

    def keep(some: Sequence[str]) -> list[str]:
        keeps.set()
        waits.append(drawn.wait(PATIENCE_S))
        return [f"kept {picture}" for picture in some]

    assert list(keep_behind(pictures(), keep)) == ["kept first", "kept second"]
    assert all(waits)


def test_drawing_does_not_wait_for_a_commit_that_takes_longer_than_many_pictures() -> None:
    all_drawn, committed = threading.Event(), list[Sequence[int]]()

    def pictures() -> Iterator[int]:
        yield from range(9)
        all_drawn.set()

    def keep(some: Sequence[int]) -> list[int]:
        committed.append(some if all_drawn.wait(PATIENCE_S) else ())
        return list(some)

    assert list(keep_behind(pictures(), keep)) == list(range(9))
    # Those that were drawn meanwhile go into one commit.
    assert [list(some) for some in committed] == [[0], list(range(1, 9))]


def test_pictures_behind_a_failed_keep_are_offered_too() -> None:
    offered: list[int] = []
    failed = threading.Event()

    def keep(batch: Sequence[int]) -> list[int]:
        offered.extend(batch)
        if 0 in batch:
            failed.set()
            raise OSError("no room")
        return list(batch)

    def pictures() -> Iterator[int]:
        yield 0
        assert failed.wait(PATIENCE_S)
        yield from range(1, 4)

    with pytest.raises(OSError, match="no room"):
        list(keep_behind(pictures(), keep))
    assert offered[:2] == [0, 1]
