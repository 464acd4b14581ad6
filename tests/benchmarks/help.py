"""How long a person waits for `--help` and for a completion: `python -m tests.benchmarks help`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from tests.benchmarks.measure import Child, interleave, print_table, run_child, spread

ROUNDS = 15
PROGRAM = [sys.executable, "-m", "sovgen"]
COMPLETION = {
    "_SOVGEN_COMPLETE": "bash_complete",
    "COMP_WORDS": "sovgen se",
    "COMP_CWORD": "1",
}


def main(_: Sequence[str]) -> None:
    sides: dict[str, Callable[[], Child]] = {
        "python -c pass": lambda: run_child([sys.executable, "-c", "pass"]),
        "sovgen --help": lambda: run_child([*PROGRAM, "--help"]),
        "sovgen search --help": lambda: run_child([*PROGRAM, "search", "--help"]),
        "completion of `sovgen se`": lambda: run_child(PROGRAM, COMPLETION),
    }
    rows = [
        [name, spread([1000 * c.seconds for c in runs], 0), spread([c.peak_mb for c in runs], 0)]
        for name, runs in interleave(sides, ROUNDS).items()
    ]
    print_table("Start, whole process", ["command", "ms", "peak MB"], rows)
