"""What a person sees and does while pictures are being drawn: progress, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import sys
from contextlib import suppress

import pytest

from sovgen.cli.interrupt import held_until_step
from sovgen.cli.progress import shown


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def everything_on(terminal: int) -> str:
    """What a terminal shows, read to its end: Linux says EIO once its other side is closed."""
    seen = b""
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            seen += piece
    os.close(terminal)
    return seen.decode()


def test_progress_tells_step_and_rate_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with shown("Drawing", "steps") as tell:
            for _ in range(2):
                for step in range(1, 5):
                    tell(step, 4)
    seen = everything_on(ours)
    assert "Drawing" in seen
    assert "4/4" in seen
    assert "steps/s" in seen


def test_progress_is_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    with shown("Drawing", "steps") as tell:
        tell(1, 4)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_before_the_first_step_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), held_until_step():
        interrupt()


def test_ctrl_c_between_steps_waits_for_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), held_until_step() as step:
        step()
        interrupt()
        reached.append("the picture is kept")
        step()
        reached.append("another step")
    assert reached == ["the picture is kept"]
    assert "Stopping" in capfd.readouterr().err


def test_a_second_ctrl_c_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), held_until_step() as step:
        step()
        interrupt()
        interrupt()
        step()
        raise AssertionError("the second was held back too")


def test_afterwards_ctrl_c_is_what_it_was_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held_until_step():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
