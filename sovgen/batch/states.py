"""States: what a job of a queue may be in, in the order in which it may come to them."""

from __future__ import annotations

WAITING, DRAWING, DONE, FAILED, CANCELLED = "waiting", "drawing", "done", "failed", "cancelled"
STATES = (WAITING, DRAWING, DONE, FAILED, CANCELLED)
