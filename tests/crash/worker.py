"""Worker: a process that changes a library at random until it is killed, or has done its share.

Its vectors are given, so nothing here imports torch.
"""

from __future__ import annotations

import random
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from index import Library, curate
from index.adding import Mode
from index.record import pixel_id
from index.refresh import refresh
from tests.crash.journal import Journal
from tests.index.conftest import new, picture, png
from tests.index.given import Given

WEIGHTS = {"keep": 6, "add": 3, "tag": 3, "rate": 2, "choose": 2, "delete": 2, "restore": 1} | {
    "snapshot": 2
}


class Worker:
    """One process's share of the work: pictures `first`, `first` + 1 and so on, and one set."""

    def __init__(self, root: Path, journal: Path, first: int, seed: int) -> None:
        self.library = Library.open(root, Given())
        self.journal = Journal(journal)
        self.inbox = journal.with_suffix(".inbox")
        self.inbox.mkdir(exist_ok=True)
        self.next = first
        self.name = f"set-{first}"
        self.random = random.Random(seed)
        self.alive: list[int] = []
        self.buried: list[int] = []
        self.chosen: set[int] = set()
        self.write_down({"op": "new-set", "set": self.name})

    def step(self) -> None:
        """One operation that makes sense now, written down before and after."""
        op = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        needs = {"tag": self.alive, "rate": self.alive, "delete": self.alive}
        needs |= {"choose": [n for n in self.alive if n not in self.chosen]}
        needs |= {"restore": self.buried}
        if op in needs and not needs[op]:
            op = "keep"
        line: dict[str, Any] = {"op": op}
        if op in needs:
            line["number"] = self.random.choice(needs[op])
        elif op in ("keep", "add"):
            count = self.random.randint(1, 3)
            line["numbers"] = list(range(self.next, self.next + count))
            self.next += count
        line |= {"tag": f"hand-{self.random.randint(0, 9)}"} if op == "tag" else {}
        line |= {"rating": self.random.randint(0, 5)} if op == "rate" else {}
        line |= {"set": self.name} if op == "choose" else {}
        if op == "add":
            line["mode"] = self.random.choice(["copy", "move"])
            for n in line["numbers"]:
                (self.inbox / f"{n}.png").write_bytes(png(picture(n)))
        self.write_down(line)

    def write_down(self, line: dict[str, Any]) -> None:
        """Do what a line says, between writing that it is meant and that it is done."""
        self.journal.write(line)
        self.do(**line)
        self.journal.write({"op": "done"})

    def do(
        self,
        op: str,
        number: int = -1,
        numbers: list[int] | None = None,
        tag: str = "",
        rating: int = 0,
        mode: Mode = "copy",
        set: str = "",
    ) -> None:
        id = pixel_id(picture(number)) if number >= 0 else ""
        match op:
            case "keep":
                self.library.keep([new(n, seed=n) for n in numbers or []])
                self.alive += numbers or []
            case "add":
                paths = [self.inbox / f"{n}.png" for n in numbers or []]
                assert not self.library.add(paths, mode).failed
                self.alive += numbers or []
            case "tag":
                curate.tag(self.library, [id], [tag])
            case "rate":
                curate.rate(self.library, [id], rating)
            case "new-set":
                curate.new_set(self.library, set)
            case "choose":
                curate.add_to_set(self.library, set, [id])
                self.chosen.add(number)
            case "delete":
                assert self.library.delete([id]) == 1
                self.alive.remove(number)
                self.buried.append(number)
            case "restore":
                assert self.library.restore([id]) == 1
                self.buried.remove(number)
                self.alive.append(number)
            case "snapshot":
                refresh(self.library.store, force=True)


def work(
    root: Path, journal: Path, first: int, count: int, seed: int, begun: Event | None = None
) -> None:
    """Do `count` operations; `begun` is set when the first is done."""
    worker = Worker(root, journal, first, seed)
    if begun is not None:
        begun.set()
    for _ in range(count):
        worker.step()
