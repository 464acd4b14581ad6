"""Progress on stderr, for a person who watches: how far, how fast, and how long yet.

Nothing is shown when stderr is not a terminal. A line that is written meanwhile goes above the
bars: `off_screen` takes them away for as long as that takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress, ProgressColumn


Tell = Callable[[int, int], None]
# The bars that are on the screen, and what draws them there.
_standing: list[tuple[Progress, Live]] = []


@contextmanager
def shown(what: str, unit: str) -> Iterator[Tell]:
    """Give a function to be told how many of how many are done; fewer than before starts anew.

    what: the name of the bar; unit: what its rate counts
    """
    with several_shown((what, unit)) as [tell]:
        yield tell


@contextmanager
def several_shown(*bars: tuple[str, str]) -> Iterator[list[Tell]]:
    """The same for bars under each other, each with its name and its unit."""
    if not sys.stderr.isatty():
        yield [lambda done, total: None for _ in bars]
        return
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(*_columns(), console=Console(stderr=True))
    _standing.append((progress, _raised(progress)))
    try:
        yield [_teller(progress, what, unit) for what, unit in bars]
    finally:
        _standing.pop()[1].stop()


@contextmanager
def off_screen() -> Iterator[None]:
    """Within, no bar stands where lines are written to the terminal."""
    if not _standing:
        yield
        return
    progress, live = _standing[-1]
    live.stop()
    try:
        yield
    finally:
        # A new one, since the old one would first erase as many lines as it had.
        _standing[-1] = progress, _raised(progress)


def _raised(progress: Progress) -> Live:
    from rich.live import Live

    live = Live(
        get_renderable=progress.get_renderable,
        console=progress.console,
        transient=True,
        refresh_per_second=10,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start(refresh=True)
    return live


def _teller(progress: Progress, what: str, unit: str) -> Tell:
    task = progress.add_task(what, total=None, unit=unit)

    def tell(done: int, total: int) -> None:
        if done <= progress.tasks[task].completed:
            progress.reset(task)
        progress.update(task, completed=done, total=total)

    return tell


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
        """How many a second, once it is known."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {task.fields['unit']}/s" if task.speed else "")

    name = TextColumn("{task.description}")
    return [name, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()]
