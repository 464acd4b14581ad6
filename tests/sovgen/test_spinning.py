"""Waiting threads sleep where another process computes, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sovgen import spinning
from tests.index.boxes import ROOT

BUSY = "print(flush=True)\nwhile True: pass"
TOLD = "import sovgen, os; print(os.environ.get('OMP_WAIT_POLICY'))"


def told(**environ: str) -> str:
    run = [sys.executable, "-c", TOLD]
    return subprocess.run(
        run, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_threads_sleep_beside_a_process_that_computes() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout and busy.stdout.readline()
            assert told() == "passive"
            assert told(OMP_WAIT_POLICY="active") == "active"
            assert told(OMP_NUM_THREADS="1") == "None"
        finally:
            busy.kill()


@pytest.mark.parametrize(("running", "policy"), [([2, 2, 2], "passive"), ([2, 1, 2], None)])
def test_what_only_passes_by_changes_nothing(
    running: list[int], policy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(running)
    monkeypatch.setattr(spinning, "_running", lambda: next(looks))
    environ: dict[str, str] = {}
    spinning.spare_others(environ)
    assert environ.get("OMP_WAIT_POLICY") == policy
