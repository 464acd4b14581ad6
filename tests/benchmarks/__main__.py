"""`python -m tests.benchmarks [NAME [ARGUMENT…]]`: one table each, all of them without a name.

Nothing here asserts a time: what is printed is what this machine did today.
"""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "search",
    "library",
    "generate",
    "fast",
    "backends",
    "add",
    "help",
    "calibration",
    "mini",
    "retrieval",
    "memory",
)


def main(arguments: list[str]) -> int:
    name, *rest = arguments or ["all"]
    if name != "all" and name not in NAMES:
        print(f"No benchmark is called {name!r}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    for wanted in NAMES if name == "all" else (name,):
        importlib.import_module(f"tests.benchmarks.{wanted}").main(rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
