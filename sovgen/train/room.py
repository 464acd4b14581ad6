"""Room: a disk that is full is told in one way, whichever library met it.

Knows nothing of what was being written; who writes takes its halves away.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from sovgen.errors import NoRoom

_FULL = (errno.ENOSPC, errno.EDQUOT)
# safetensors and shutil.copytree keep no number, only what was said.
_SAID = ("os error 28", "Errno 28", "No space left")


@contextmanager
def room_told(message: str, hint: str) -> Iterator[None]:
    """Within, a full disk raises NoRoom; all else passes."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) in _FULL or any(s in str(error) for s in _SAID)
        if full:
            raise NoRoom(message, hint) from error
        raise
