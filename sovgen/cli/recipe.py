"""The options that fix a picture's pixels, gathered into one Recipe before a command runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from sovgen.cli.failure import typed
from sovgen.cli.options import by_backend, size
from sovgen.cli.session import Session

if TYPE_CHECKING:
    from sovgen.recipe import Recipe

_TRANSPARENT = click.option(
    "--transparent",
    flag_value=True,
    default=None,
    type=click.BOOL,
    help="Take an even ground away, as cut out.",
)
OPTIONS = (
    click.option("--negative", default="", metavar="TEXT", help="What the picture should not be."),
    click.option("--steps", type=int, metavar="N", help="Denoising steps; else the model's own."),
    click.option(
        "--guidance",
        type=float,
        metavar="G",
        help="How strictly to follow the prompt; 1 turns it off.",
    ),
    click.option("--size", callback=size, metavar="WxH", help="Pixels; else the model's own."),
    click.option("--sampler", metavar="NAME", help="Such as 'euler a'; else the model's own."),
    click.option(
        "--schedule",
        metavar="NAME",
        help="karras, exponential, beta, simple, kl optimal or align your steps.",
    ),
    click.option(
        "--clip-skip", type=int, metavar="N", help="Read the text tower's Nth layer from the last."
    ),
    click.option(
        "--guidance-rescale", type=float, metavar="R", help="0 to 1; against burnt contrast."
    ),
    click.option(
        "--guidance-from", type=float, metavar="A", help="Guide from this share of the steps."
    ),
    click.option(
        "--guidance-until", type=float, metavar="B", help="Guide until this share of the steps."
    ),
    click.option(
        "--cache-interval",
        type=int,
        metavar="N",
        help="Compute deep features at every Nth step: faster, a little different.",
    ),
    _TRANSPARENT,
    click.option("--model", metavar="NAME|DIR|FILE", help="A name, a diffusers folder or a file."),
    click.option(
        "--lora",
        "loras",
        multiple=True,
        metavar="NAME|FILE[:W]",
        help="A LoRA and its weight, else 1; may be given several times.",
    ),
    click.option(
        "--embedding",
        "embeddings",
        multiple=True,
        metavar="NAME|FILE",
        help="A textual inversion, which prompts use by its name.",
    ),
    click.option("--vae", metavar="NAME|DIR|FILE", help="Decode with this in place of its own."),
    click.option("--device", metavar="D", help="cpu, cuda, mps or xpu; chosen when not given."),
    click.option(
        "--dtype", metavar="T", help="float32, bfloat16 or float16; chosen when not given."
    ),
    by_backend,
)
FIELDS = (
    *("negative", "steps", "guidance", "sampler", "model", "device", "dtype", "backend"),
    *("schedule", "clip_skip", "guidance_rescale", "guidance_from", "guidance_until"),
    "cache_interval",
    "transparent",
    *("loras", "embeddings", "vae"),
)
# What the config file may give when the command line does not.
CONFIGURED = ("model", "device", "dtype")


def drawn_by(
    command: Callable[..., None], options: Sequence[Callable[..., Any]] = OPTIONS
) -> Callable[..., None]:
    """The command gets `template`: a Recipe whose prompt and seed are still to be set.

    What a Recipe refuses is a usage mistake, told before anything else happens.
    """

    @wraps(command)
    def collecting(**given: Any) -> None:  # noqa: ANN401 - click's values
        from sovgen.recipe import Recipe

        session: Session = click.get_current_context().obj
        width, height = given.pop("size")
        values = {name: given.pop(name) for name in FIELDS if name in given}
        for name in CONFIGURED:
            values[name] = values[name] or None
        with typed():
            template = Recipe(prompt="", width=width, height=height, **values)
        command(template=configured(session, template), **given)

    for option in reversed(options):
        collecting = option(collecting)
    return collecting


def configured(session: Session, recipe: Recipe) -> Recipe:
    """The recipe with what the config file says where the command line said nothing."""
    unsaid = [name for name in CONFIGURED if getattr(recipe, name) is None]
    return replace(recipe, **{name: getattr(session.settings, name) for name in unsaid})


# What is watched while it is drawn is not cut out afterwards.
watched_by = partial(drawn_by, options=[option for option in OPTIONS if option is not _TRANSPARENT])
