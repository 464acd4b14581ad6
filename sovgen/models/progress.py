"""Progress: how much of what has to be read or fetched is done, in bytes.

Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from index.hashes import OnRead

# Called as on_progress(bytes so far, bytes in all).
OnProgress = Callable[[int, int], None]


def metered(files: Collection[Path], on_progress: OnProgress) -> OnRead:
    """What to tell of every piece read of these files, so that `on_progress` hears the whole."""
    total, done = sum(file.stat().st_size for file in files if file.exists()), 0

    def further(read: int) -> None:
        nonlocal done
        done += read
        on_progress(done, total)

    return further
