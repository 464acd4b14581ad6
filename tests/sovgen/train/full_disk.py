"""A disk that is really full: a small tmpfs inside a mount namespace, where a child works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = 'mount -t tmpfs -o size={size} tmpfs "$1"; shift; exec "$@"'


def run_on_small_disk(folder: Path, size: str, code: str, *given: str) -> str:
    """Runs Python code with `folder` on a disk of that size; returns its stdout, or raises."""
    folder.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--map-root-user", "sh", "-ec", SCRIPT.format(size=size)]
    done = subprocess.run(
        [*command, "sh", str(folder), sys.executable, "-c", code, str(folder), *given],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
