"""Progress on stderr, for a person who watches: how far, how fast, and how long yet.

Nothing is shown when stderr is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


@contextmanager
def shown(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to be told how many of how many are done; fewer than before starts anew.

    what: the name of the bar; unit: what its rate counts
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*_columns(unit), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            if done <= progress.tasks[0].completed:
                progress.reset(task)
            progress.update(task, completed=done, total=total)

        yield tell


def _columns(unit: str) -> list[ProgressColumn]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second, once it is known."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else "")

    name = TextColumn("{task.description}")
    return [name, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()]
