"""Concurrency: many processes at one library; nobody sees a lock, nothing is lost, waits are told.

With `SOVGEN_SOAK` eight processes add at once, without it four; two search and one lists meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from index import Library, Query
from tests.crash.inspection import check_whole, id_of
from tests.index.boxes import ROOT
from tests.index.conftest import new
from tests.index.given import Given

ADDERS = 8 if "SOVGEN_SOAK" in os.environ else 4
EACH = 12 if "SOVGEN_SOAK" in os.environ else 5

ADD = """
import sys, time
from index import Library
from tests.index.conftest import new
from tests.index.given import Given
library, first, count = Library.open(sys.argv[1], Given()), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
longest = 0.0
for number in range(first, first + count):
    start = time.monotonic()
    library.keep([new(number), new(1)])  # each its own, and one that all of them keep
    longest = max(longest, time.monotonic() - start)
print(longest, flush=True)
"""

LOOK = """
import sys, threading, time
from index import Library, Query
from tests.index.given import Given
library, listing = Library.open(sys.argv[1], Given()), sys.argv[2] == "list"
print("ready", flush=True)
sys.stdin.readline()
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
longest, seen = 0.0, 0
while not stop.is_set():
    start = time.monotonic()
    query = Query("anything", k=None, everything=True)
    found = library.list(query) if listing else library.search(query).hits
    longest = max(longest, time.monotonic() - start)
    assert len(found) >= seen, "something that was there is gone"
    seen = len(found)
print(longest, flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def longest_wait(process: subprocess.Popen[str], last_word: str = "") -> float:
    out, errors = process.communicate(last_word)
    assert process.returncode == 0, errors
    return float(out)


def test_many_processes_add_search_and_list_at_once(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "library", Given())
    library.keep([new(0)])
    adders = [start(ADD, library.root, 100 * n, EACH) for n in range(1, ADDERS + 1)]
    lookers = [start(LOOK, library.root, what) for what in ("search", "search", "list")]
    for process in adders + lookers:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
    for process in adders + lookers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    added = [longest_wait(process) for process in adders]
    looked = [longest_wait(process, "stop\n") for process in lookers]
    print(
        f"{ADDERS} adding, 2 searching, 1 listing: longest wait to add {max(added):.2f} s, "
        f"to search {max(looked[:2]):.2f} s, to list {looked[2]:.2f} s"
    )
    expected = {0, 1, *(100 * n + i for n in range(1, ADDERS + 1) for i in range(EACH))}
    listed = library.list(Query(k=None))
    assert {entry.id for entry in listed} == {id_of(number) for number in expected}
    assert len(listed) == len(expected)
    check_whole(library, [])
