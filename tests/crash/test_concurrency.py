"""Concurrency: many processes at one library; nobody sees a lock, nothing is lost, waits are told.

Eight processes add, two search, and one is a web server that several browsers ask at once.
`SOVGEN_SOAK` is how often each of the eight adds; 4 times without it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

from index import Hit, Library, Query
from tests.crash.inspection import check, check_differences
from tests.crash.processes import CONTEXT, Connection, ended, start
from tests.crash.website import get, website
from tests.index.conftest import new
from tests.index.given import Given

ADDERS, SEARCHERS, BROWSERS = 8, 2, 4
EACH = int(os.environ.get("SOVGEN_SOAK", "4"))
SHARED = 1  # a picture that all of them keep again and again


class Waits:
    """How long each call took, in s, by what it was."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}

    def measure(self, what: str, call: Callable[[], object]) -> None:
        began = time.monotonic()
        call()
        self.longest[what] = max(self.longest.get(what, 0.0), time.monotonic() - began)


def add(root: Path, first: int, go: Event, stop: Event, told: Connection) -> None:
    library, waits = Library.open(root, Given()), Waits()
    go.wait()
    for number in range(first, first + EACH):
        waits.measure("add", lambda n=number: library.keep([new(n), new(SHARED)]))  # type: ignore[misc]
    told.send(waits.longest)


def search(root: Path, first: int, go: Event, stop: Event, told: Connection) -> None:
    waits, seen = Waits(), 0
    go.wait()
    while not stop.is_set():
        found: list[Hit] = []
        waits.measure("open and search", lambda: found.extend(everything(root)))  # noqa: B023
        assert len(found) >= seen, "something that was there is gone"
        seen = len(found)
    told.send(waits.longest)


def everything(root: Path) -> Sequence[Hit]:
    query = Query("anything", k=None, everything=True)
    return Library.open(root, Given()).search(query).hits


def serve(root: Path, first: int, go: Event, stop: Event, told: Connection) -> None:
    """A website, and browsers that ask for its pages, each in its own order, over and over."""
    server, asks = website(root)
    address = ("127.0.0.1", server.server_port)
    waits, errors = [Waits() for _ in range(BROWSERS)], list[BaseException]()

    def browse(number: int) -> None:
        turn = number
        try:
            while not stop.is_set():
                page = asks[turn % len(asks)]
                waits[number].measure(page, lambda: get(address, page))  # noqa: B023
                turn += 1
        except BaseException as error:
            errors.append(error)

    threading.Thread(target=server.serve_forever).start()
    go.wait()
    threads = [threading.Thread(target=browse, args=(n,)) for n in range(BROWSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.shutdown()
    server.server_close()
    if errors:
        raise errors[0]
    every = {what for each in waits for what in each.longest}
    told.send({what: max(each.longest.get(what, 0.0) for each in waits) for what in every})


def test_eight_add_two_search_and_a_web_server_reads_at_once(tmp_path: Path) -> None:
    root = Library.create(tmp_path / "library", Given()).root
    Library.open(root, Given()).keep([new(0)])
    go, stop = CONTEXT.Event(), CONTEXT.Event()
    firsts = [1000 * (n + 1) for n in range(ADDERS)]
    roles = [*((add, n) for n in firsts), *[(search, 0)] * SEARCHERS, (serve, 0)]
    pipes = [CONTEXT.Pipe(duplex=False) for _ in roles]
    running = [
        start(role, root, n, go, stop, theirs)
        for (role, n), (_, theirs) in zip(roles, pipes, strict=True)
    ]
    go.set()
    assert [ended(process) for process in running[:ADDERS]] == [0] * ADDERS
    stop.set()
    assert [ended(process) for process in running[ADDERS:]] == [0] * (SEARCHERS + 1)
    waits = [ours.recv() for ours, _ in pipes]
    longest = {what: max(w.get(what, 0.0) for w in waits) for what in {k for w in waits for k in w}}
    print(
        f"{ADDERS} adding {EACH} times, {SEARCHERS} searching, a web server asked by {BROWSERS}; "
        "longest wait: " + ", ".join(f"{what} {s:.2f} s" for what, s in sorted(longest.items()))
    )
    library = Library.open(root, Given())
    numbers = [0, SHARED, *(first + n for first in firsts for n in range(EACH))]
    check(library, [{"op": "keep", "numbers": numbers}])
    check_differences(library, [])
    assert len(library.list(Query(k=None))) == len(numbers)
