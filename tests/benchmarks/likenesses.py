"""Likenesses: unit vectors that lie as a CLIP's do, made from a seed.

Uniform noise would make every approximate index look impossible, and a few tight clusters would
make each look perfect. What is copied here of real CLIP spaces:

- pictures lie in a narrow cone: any two have a cosine of about 0.5;
- texts lie in another cone (the modality gap): a text has a cosine of about 0.2 with any picture
  and of about 0.3 with those it describes, so it is no point among the pictures, as a held-out
  picture would be, and an index that was made for such points is put to the test;
- what tells pictures apart lies in far fewer directions than there are numbers, the first ones
  much stronger than the last, and a little noise in all of them;
- subjects are many and of uneven size (Zipf's law), and pictures of one subject have a cosine of
  about 0.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

WIDTH = 512
DEPTH = 160  # directions that carry meaning
BLOCK = 50_000
_CONE, _MATTER, _WITHIN, _GRAIN = 1.0, 0.92, 0.62, 0.25
_TEXT_MATTER, _GAP = 0.32, 0.28
_SPACE = 2_026


def laid(folder: Path, count: int) -> Path:
    """A file of pictures' vectors, float32 (count, WIDTH), made unless it is there."""
    path = folder / f"likenesses-{count}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".making")
        rows = np.lib.format.open_memmap(made, "w+", np.float32, (count, WIDTH))
        for start, block in pictures(count):
            rows[start : start + len(block)] = block
        rows.flush()
        made.rename(path)
    return path


def pictures(count: int) -> Iterator[tuple[int, Rows]]:
    """Blocks of rows, each with the place of its first."""
    subjects = _subjects(count)
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng([_SPACE, count, start])
        size = min(BLOCK, count - start)
        matter = subjects[_chosen(rng, len(subjects), size)] + _WITHIN * _matter(rng, size)
        grain = _GRAIN * rng.standard_normal((size, WIDTH), np.float32) / np.sqrt(WIDTH)
        yield start, _unit(_CONE * _cones()[0] + _MATTER * matter @ _directions() + grain)


def texts(count: int, among: int) -> Rows:
    """Texts (count, WIDTH), each of a subject of `pictures(among)`."""
    rng = np.random.default_rng([_SPACE, among])
    subjects = _subjects(among)
    matter = subjects[_chosen(rng, len(subjects), count)] + _WITHIN * _matter(rng, count)
    own, other = _cones()[::-1]
    grain = 2 * _GRAIN * rng.standard_normal((count, WIDTH), np.float32) / np.sqrt(WIDTH)
    return _unit(own + _GAP * other + _TEXT_MATTER * matter @ _directions() + grain)


def _subjects(count: int) -> Rows:
    return _matter(np.random.default_rng([_SPACE, 1]), max(500, count // 100))


def _chosen(rng: np.random.Generator, subjects: int, count: int) -> NDArray[np.int64]:
    weights = 1 / np.arange(10, 10 + subjects)
    return rng.choice(subjects, count, p=weights / weights.sum())


def _matter(rng: np.random.Generator, count: int) -> Rows:
    """Points (count, DEPTH), in the first directions the widest, of squared length 1 on average."""
    strengths = 1 / np.sqrt(np.arange(4, 4 + DEPTH))
    strengths /= np.linalg.norm(strengths)
    return (rng.standard_normal((count, DEPTH), np.float32) * strengths).astype(np.float32)


def _frame() -> Rows:
    """Orthonormal rows: the two cones' axes, then the directions of meaning."""
    raw = np.random.default_rng(_SPACE).standard_normal((WIDTH, DEPTH + 2))
    return np.linalg.qr(raw)[0].T.astype(np.float32)


def _cones() -> tuple[Rows, Rows]:
    frame = _frame()
    return frame[0], frame[1]


def _directions() -> Rows:
    return _frame()[2:]


def _unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
