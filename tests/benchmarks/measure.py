"""What every benchmark needs: a child process measured, two sides interleaved, one table.

Knows nothing of what is measured, and asserts nothing.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FOLDER = Path("build/benchmarks")
LIBRARIES = (
    "torch",
    "diffusers",
    "transformers",
    "open-clip-torch",
    "faiss-cpu",
    "duckdb",
    "numpy",
)


@dataclass(frozen=True)
class Child:
    """A finished child process: wall seconds, peak resident memory in MB, what it printed."""

    seconds: float
    peak_mb: float
    output: str


def run_child(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Child:
    """Run a command to its end, measured from the outside. Raises CalledProcessError.

    A child's peak is never told to be under its parent's, so whoever measures memory stays small.
    """
    # As at a user's: modules are compiled once, not at every start.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        env={**inherited, **(environment or {})},
        cwd=folder,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    # kilobytes on Linux, bytes on macOS
    scale = 1 if sys.platform == "darwin" else 1024
    return Child(seconds, usage.ru_maxrss * scale / 1e6, output.decode())


def interleave(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call every side once per round, in turn, so that all meet the same weather."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides)
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(sides[name]())
    return results


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (first quartile-third quartile)`."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    """A Markdown table under a heading that says where and when it was measured."""
    print(f"\n### {title}\n\n{machine()}, {date.today().isoformat()}, {versions()}\n")
    lines = [columns, ["---"] * len(columns), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    for note in notes:
        print(f"\n{note}")
    sys.stdout.flush()


def machine() -> str:
    """Processor, cores this process may use, and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("model name")]
    except OSError:
        lines = []
    return lines[0].split(":", 1)[1].strip() if lines else platform.processor()
