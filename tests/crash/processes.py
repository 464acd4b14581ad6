"""Processes: cheap ones, forked from a server that has imported the library and opened nothing.

A process of its own costs 20 ms instead of a second, so that a test can kill hundreds.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "duckdb", "faiss", "tests.crash.work"])

KILLED = -9


def start(target: Callable[..., None], *arguments: object, fault: str = "") -> ForkServerProcess:
    """A process that runs a function and dies at a fault point, if one is named."""
    process = CONTEXT.Process(target=_run, args=(fault, target, arguments), daemon=True)
    process.start()
    return process


def _run(fault: str, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ["SOVGEN_FAULT"] = fault
    target(*arguments)


def ended(process: ForkServerProcess) -> int | None:
    """How a process ended, once it has."""
    process.join()
    return process.exitcode


def told(target: Callable[..., None], *arguments: object, fault: str = "") -> Any:  # noqa: ANN401
    """What a process sends through the pipe that is its function's last argument."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = start(target, *arguments, theirs, fault=fault)
    theirs.close()
    said = ours.recv()
    assert ended(process) == 0
    return said


__all__ = ["CONTEXT", "KILLED", "Connection", "ended", "start", "told"]
