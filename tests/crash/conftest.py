from __future__ import annotations

from tests.index.conftest import own_cache

__all__ = ["own_cache"]
