"""SQL: a question to a library, answered by a process of its own.

The process can be killed at any instant, by Ctrl-C or when its time is up, whatever DuckDB is
doing. It is under the network's guard, and goes when its parent goes. What it may see and do is
decided by `index.question`; how an answer is shown is not known here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from index.errors import BadQuery, LibraryError
from sovgen.offline import go_offline


@dataclass(frozen=True)
class Answer:
    """Columns' names, and the rows as they come: of None, numbers, texts, dates, lists, dicts."""

    columns: list[str]
    rows: Iterator[tuple[object, ...]]


@contextmanager
def asked(root: Path, statement: str, timeout_s: float) -> Iterator[Answer]:
    """The answer of the library at root to one SELECT, while its process lives.

    timeout_s: seconds of waiting for it, altogether
    Raises BadQuery for a statement that is refused or fails, for one that takes too long, and when
    the process dies; NoLibrary, LibraryBusy and their kin. Taking rows raises the same.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, root, statement), daemon=True)
    with _interrupts_held_back():  # a child inherits that, so Ctrl-C reaches the parent alone
        process.start()
    theirs.close()
    try:
        messages = _messages(ours, timeout_s)
        yield Answer(next(messages), (row for batch in messages for row in batch))
    finally:
        process.kill()
        process.join()
        ours.close()


def _messages(pipe: Connection, timeout_s: float) -> Iterator[Any]:
    """What the process sends, until it says None; the errors that it sends are raised."""
    left = timeout_s
    while True:
        began = time.monotonic()
        if not pipe.poll(left):
            raise BadQuery(
                f"The question took longer than {timeout_s:g} s and was stopped.",
                "Narrow it, or give it longer with --timeout.",
            )
        left = max(0.0, left - (time.monotonic() - began))
        try:
            message = pipe.recv()
        except EOFError as error:
            raise BadQuery(
                "The process that answered the question died.",
                "It may need more memory than there is; narrow it.",
            ) from error
        if message is None:
            return
        if isinstance(message, LibraryError):
            raise message
        yield message


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(pipe: Connection, root: Path, statement: str) -> None:
    """The process: sends the columns, then rows in batches, then None; or an error."""
    go_offline()
    threading.Thread(target=_go_with_parent, daemon=True).start()
    from index import question
    from index.store import Store

    with suppress(BrokenPipeError):
        try:
            reply = question.answer(Store(root), statement)
            pipe.send(reply.columns)
            for batch in reply.batches:
                pipe.send([tuple(map(_plain, row)) for row in batch])
            pipe.send(None)
        except LibraryError as error:
            pipe.send(error)


def _go_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _plain(value: object) -> object:
    """A value as one of the few kinds that every form of output can show."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value - value != 0:  # JSON knows neither NaN nor infinity
        return str(value)
    known = value is None or isinstance(value, (bool, int, float, str, date))
    return value if known else str(value)
