"""Decoding: many picture files, in their order, read by threads ahead of whoever uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import UnreadableImage
from index.record import Record, read_picture

if TYPE_CHECKING:
    from PIL import Image

    Read = tuple[Record, Image.Image]

# Enough to have most of the next batch ready; few enough that photographs fit in memory.
_AHEAD = 16
_THREADS = 4


def decoded(files: Iterable[Path]) -> Iterator[tuple[Path, Read | str]]:
    """Each file with its record and image, or with the reason why there is none."""
    waiting: deque[tuple[Path, Future[Read | str]]] = deque()
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        for path in files:
            waiting.append((path, threads.submit(_read, path)))
            if len(waiting) > _AHEAD:
                first, job = waiting.popleft()
                yield first, job.result()
        while waiting:
            first, job = waiting.popleft()
            yield first, job.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _read(path: Path) -> Read | str:
    try:
        return read_picture(path)
    except UnreadableImage as error:
        return error.reason
