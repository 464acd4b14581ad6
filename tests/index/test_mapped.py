"""Mapped: a snapshot is read in pieces and given back, until it is asked for again and again."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from index import blocks, layout, mapped, scan
from tests.index.rows import unit

WIDTH = 16
NOISE = np.random.default_rng(3)


def written(path: Path, count: int) -> np.ndarray:
    rows = unit(NOISE.normal(size=(count, WIDTH)))
    index = layout.paged(WIDTH)
    layout.add(index, np.arange(1, count + 1), rows, paged=True)
    faiss.write_index(index, str(path))
    return rows


def test_pieces_together_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = written(tmp_path / "snap", 800)
    monkeypatch.setattr(scan, "PIECE", 4_000)
    opened = mapped.opened(tmp_path / "snap", blocks.sums_of(tmp_path / "snap"))
    assert opened is not None
    given_back: list[int] = []
    passing = np.arange(801) % 3 > 0
    for bits in (None, passing):
        given_back.clear()
        pieces = scan.candidates(
            opened.index, rows[5], 50, bits, None, lambda: given_back.append(1)
        )
        whole = scan.candidates(opened.index, rows[5], 50, bits)
        assert len(given_back) > 3
        assert pieces[1].tolist() == whole[1].tolist() and np.array_equal(pieces[0], whole[0])
    assert all(passing[number] for number in whole[1])


def test_memory_is_given_back_until_the_file_is_asked_for_often(tmp_path: Path) -> None:
    rows = written(tmp_path / "snap", 100)
    answers = []
    for times in range(1, mapped.FEW + 3):
        opened = mapped.opened(tmp_path / "snap", blocks.sums_of(tmp_path / "snap"))
        assert opened is not None
        assert (opened.after_piece is None) == (times > mapped.FEW)
        answers.append(scan.candidates(opened.index, rows[0], 5, None, None, opened.after_piece))
    assert all(a[1].tolist() == answers[0][1].tolist() for a in answers)


def test_another_file_at_the_same_path_is_seen(tmp_path: Path) -> None:
    first = written(tmp_path / "snap", 50)
    old = mapped.opened(tmp_path / "snap", blocks.sums_of(tmp_path / "snap"))
    written(tmp_path / "next", 60)
    (tmp_path / "next").replace(tmp_path / "snap")
    new = mapped.opened(tmp_path / "snap", blocks.sums_of(tmp_path / "snap"))
    assert old is not None and new is not None
    assert (old.index.ntotal, new.index.ntotal) == (50, 60)
    assert scan.candidates(old.index, first[7], 1)[1].tolist() == [8]


@pytest.mark.parametrize("data", [b"", b"no index at all" * 10, None])
def test_what_faiss_cannot_read_is_no_index(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "snap"
    if data is not None:
        path.write_bytes(data)
    sums = () if data is None else blocks.sums_of(path)
    assert mapped.opened(path, sums) is None
