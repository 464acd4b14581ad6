"""Progress on stderr, for a person who watches: step, rate and remaining time.

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
def steps() -> Iterator[Callable[[int, int], None]]:
    """Give a function to be told the step that was done and how many a picture takes."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*_columns(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Loading the model", total=None)

        def step(done: int, total: int) -> None:
            if done == 1:
                progress.reset(task, description="Drawing")
            progress.update(task, completed=done, total=total)

        yield step


def _columns() -> list[ProgressColumn]:
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
        """Steps a second, once it is known."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} steps/s" if task.speed else "")

    name = TextColumn("{task.description}")
    return [name, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()]
