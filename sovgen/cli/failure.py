"""The one place where errors become exit codes and lines on stderr.

Exit 1: something went wrong, told in two lines (what happened; what to do, where that is known).
Exit 2: a usage mistake, told by click: whatever the command line alone shows to be wrong. Exit 130:
stopped by hand. With --debug the traceback comes first.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import IO, Any

import click

from index.errors import LibraryError
from sovgen.errors import BadRecipe, Interrupted, SovgenError

# What other programs call options that some of our commands have.
_ELSEWHERE = {
    **dict.fromkeys(("--width", "--height", "-W", "-H", "--resolution"), "--size"),
    **dict.fromkeys(("--cfg", "--cfg-scale", "--cfg_scale", "--guidance-scale"), "--guidance"),
    **dict.fromkeys(("--negative-prompt", "--negative_prompt"), "--negative"),
    **dict.fromkeys(
        ("-n", "--batch-size", "--batch-count", "--n_iter", "--num", "--batch"), "--count"
    ),
    **dict.fromkeys(("--ckpt", "--checkpoint"), "--model"),
    **dict.fromkeys(("--init-img", "--init-image", "--image"), "--from"),
    **dict.fromkeys(("--denoising-strength", "--denoise"), "--strength"),
    **dict.fromkeys(("--scale", "--factor"), "--by"),
    **dict.fromkeys(("--scheduler",), "--sampler"),
    **dict.fromkeys(("--num-inference-steps", "--ddim_steps"), "--steps"),
}

# The option behind a field of a Recipe that is called otherwise.
_TYPED_AS = {
    **dict.fromkeys(("width", "height"), "size"),
    "sampler": "samplers",
    "upscale": "by",
    "variation_seed": "seed",
}

_NEAR = 0.8


class Failure(click.ClickException):
    """What a person reads when a command fails."""

    exit_code = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Two lines on stderr, whatever line breaks the texts hold."""
        click.echo(f"Error: {_one_line(self.message)}", err=True)
        if self.hint:
            click.echo(f"Hint: {_one_line(self.hint)}", err=True)


class Stopped(Failure):
    """What a person reads after stopping a command."""

    exit_code = 130


class Misuse(click.UsageError):
    """A usage mistake, and what to do about it."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """As click shows it, with the hint below."""
        super().show(file)
        if self.hint:
            click.echo(f"Hint: {_one_line(self.hint)}", err=True)


@contextmanager
def typed() -> Iterator[None]:
    """Within, recipes hold only what was typed: what they refuse is a usage mistake."""
    try:
        yield
    except BadRecipe as error:
        ctx = click.get_current_context()
        options = {option.name: option for option in ctx.command.params}
        field = error.field or ""
        option = options.get(field) or options.get(_TYPED_AS.get(field, ""))
        where = f"Invalid value for {option.get_error_hint(ctx)}: " if option else ""
        raise Misuse(f"{where}{error.message}", error.hint, ctx) from error


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Turn whatever escapes from a command into a Failure; click's own errors pass."""
    try:
        yield
    except click.NoSuchOption as error:
        raise _in_our_words(error) from None
    except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            click.echo(traceback.format_exc(), err=True, nl=False)
        raise _failure(error) from error


def _in_our_words(error: click.NoSuchOption) -> click.NoSuchOption:
    """With the option of ours that does what one of another program's does, if there is one."""
    ours = _ELSEWHERE.get(error.option_name)
    known = error.ctx.command.params if error.ctx else []
    if not any(ours in param.opts for param in known):
        asked = error.option_name
        near = [option for option in error.possibilities or () if _is_near(asked, option)]
        return click.NoSuchOption(asked, possibilities=near, ctx=error.ctx)
    message = f"No such option '{error.option_name}'. Did you mean '{ours}'?"
    return click.NoSuchOption(error.option_name, message, ctx=error.ctx)


def _is_near(asked: str, option: str) -> bool:
    """A slip of the hand, or a part of the other; click names what means something else, too."""
    one, other = asked.lstrip("-"), option.lstrip("-")
    if other.startswith(one) or one.endswith(f"-{other}"):
        return True
    return SequenceMatcher(None, one, other).ratio() >= _NEAR


def _failure(error: BaseException) -> Failure:
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        what = error.message if isinstance(error, Interrupted) else "Stopped by hand."
        return Stopped(what, "Everything kept before stands.")
    if isinstance(error, (SovgenError, LibraryError)):
        return Failure(error.message, error.hint)
    if isinstance(error, OSError) and error.strerror:
        where = f"{_shown(error.filename)}: " if error.filename else ""
        return Failure(f"{where}{error.strerror}.", _help(error))
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(f"Unexpected {what}", "This is a bug; run with --debug to see where.")


def _help(error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return "Name another, or move what stands there away."
    if isinstance(error, NotADirectoryError):
        return "A file stands where a folder is needed: check the path."
    return "Check the path, its permissions and the disk."


def _shown(name: object) -> str:
    return click.format_filename(name) if isinstance(name, (str, bytes)) else str(name)


def _one_line(text: str) -> str:
    return " ".join(text.split())
