"""Run: what every training is told on the command line: where, how long, on what, from what."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sovgen.cli.session import notice

if TYPE_CHECKING:
    from sovgen.models.device import Place
    from sovgen.train.dataset import Dataset
    from sovgen.train.loop import Progress
    from sovgen.train.objective import Objective
    from sovgen.train.plan import Loop

T = TypeVar("T")
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
EXTRA = ("accelerate", "resvg_py")
EVERY = 10  # steps between two lines of progress


@dataclass(frozen=True)
class Run:
    """What every training is told: where it runs, for how long, on what, from what."""

    folder: Path
    recipe: Path | None
    minutes: float
    seed: int
    device: str | None
    dtype: str | None
    model: Path | None

    def plan(self, name: str, kind: type[T]) -> tuple[Loop, T]:
        """The recipe given, else the one that travels with the package."""
        from index.bundled import data_folder
        from sovgen.train.plan import read_plan

        return read_plan(self.recipe or data_folder() / "train" / f"{name}.toml", name, kind)

    def source(self) -> Path:
        """The model to start from."""
        from index.bundled import bundled_model

        return self.model or bundled_model()

    @cached_property
    def place(self) -> Place:
        """Raises DeviceMissing."""
        from sovgen.models.device import choose_place

        rank = os.environ.get("LOCAL_RANK")  # of one process of several
        place = choose_place(self.device, self.dtype)
        return (
            choose_place(f"cuda:{rank}", self.dtype) if rank and place.device == "cuda" else place
        )

    def data(self, folder: Path) -> Dataset:
        """The data set there; what is odd about it is told. Raises BadDataset."""
        from sovgen.train.dataset import open_dataset

        data = open_dataset(folder)
        if len(data.pictures) == 1:
            self.tell(f"{folder} holds one picture: little else will be learnt.")
        if not any(picture.caption for picture in data.pictures):
            self.tell(f"No picture of {folder} has a caption: no words will be learnt.")
        return data

    def go(self, objective: Objective, loop: Loop) -> None:
        """Trains, telling the loss on stderr; prints the run folder."""
        from sovgen.train.loop import train as run

        run(
            objective,
            self.folder,
            loop,
            minutes=self.minutes,
            seed=self.seed,
            device=self.place.device,
            precision=self.place.dtype,
            on_notice=self.tell,
            on_step=self._told,
        )
        if self._is_first:
            click.echo(str(self.folder))

    def tell(self, text: str) -> None:
        """One line on stderr, once, however many processes train."""
        if self._is_first:
            notice(text)

    @property
    def _is_first(self) -> bool:
        return os.environ.get("RANK", "0") == "0"

    def _told(self, progress: Progress) -> None:
        if progress.step % EVERY == 0:
            self.tell(
                f"step {progress.step}  samples {progress.samples}  "
                f"loss {progress.loss:.4f}  {progress.rate:.1f}/s"
            )


def check_extra() -> None:
    """Raises BadSettings, with the line that installs it, when the extra `train` is missing."""
    from sovgen.errors import BadSettings

    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise BadSettings(
            f"Training needs {', '.join(missing)}.", "Run: pip install 'sovgen[train]'"
        )


def _long(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value < math.inf:
        raise click.BadParameter("it is a number of minutes above 0.")
    return value


RUN_OPTIONS = (
    click.option("--recipe", type=FILE, metavar="TOML", help="Settings; else the packaged."),
    click.option(
        "--minutes",
        type=float,
        default=60.0,
        show_default=True,
        callback=_long,
        help="For how long.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, help="Of everything drawn."),
    click.option("--device", metavar="D", help="cpu, cuda, mps or xpu; chosen when not given."),
    click.option("--dtype", metavar="T", help="float32 or bfloat16; chosen when not given."),
)
# torchrun takes --run for one of its own options.
AT = click.option(
    "--run", "--to", "folder", type=FOLDER, required=True, help="Checkpoints and sheets."
)
FROM = click.option(
    "--from", "model", type=FOLDER, metavar="DIR", help="A model folder; else the bundled one."
)
DATA = click.option("--data", type=FOLDER, required=True, help="A data set that was built.")
SCRATCH = click.option("--scratch", is_flag=True, help="Begin from newly drawn weights.")


def runs(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every training; the command gets them as `run`."""

    @wraps(command)
    def collecting(*args: object, **given: Any) -> None:  # noqa: ANN401
        check_extra()
        fields = {name: given.pop(name, None) for name in Run.__dataclass_fields__}
        command(*args, run=Run(**fields), **given)

    for option in reversed(RUN_OPTIONS):
        collecting = option(collecting)
    return collecting
