"""Boxes: a child process on a small or read-only disk of its own, by Linux namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_python(script: str, *arguments: object, **environment: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Run a script in a fresh interpreter; it prints one JSON value, which is returned."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_boxed(script: str, disk: Path, mount: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The same, where `disk` is another file system: `mount` is a shell line that makes it so.

    The script's only argument is `disk`.
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", f'{mount}; exec "$0" -c "$2" "$1"']
        + [sys.executable, str(disk), script],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
