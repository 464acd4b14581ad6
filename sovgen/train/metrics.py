"""Metrics: RUN/metrics.jsonl, one JSON object a line, appended and flushed as they come.

Lines have `step`, `samples`, `time` (UTC) and either the running loss (`loss`, `rate` in samples
a second, `learning_rate`, `gradient`) or the figures of a validation, under `held_out`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path


def append_metrics(run: Path, step: int, samples: int, values: Mapping[str, object]) -> None:
    """Adds one line; floats are kept to six digits."""
    line = {"step": step, "samples": samples, "time": datetime.now(UTC).isoformat("T", "seconds")}
    rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in values.items()}
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | rounded) + "\n")


def read_metrics(run: Path) -> list[dict[str, object]]:
    """Every whole line; what a kill or a full disk has torn is left out."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [told for line in lines if (told := _told(line))]


def drop_metrics_after(run: Path, step: int) -> None:
    """Takes back the lines of steps that a kill has undone, so that each step is told once."""
    kept = [m for m in read_metrics(run) if int(str(m["step"])) <= step]
    partial = run / ".metrics.partial"
    partial.write_text("".join(json.dumps(m) + "\n" for m in kept), encoding="utf-8")
    os.replace(partial, run / "metrics.jsonl")


def _told(line: str) -> dict[str, object]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and "step" in told else {}
