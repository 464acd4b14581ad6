"""Work: all that the harness's processes import, brought together for their server to preload."""

from __future__ import annotations

import tests.crash.operations
import tests.crash.worker  # noqa: F401
