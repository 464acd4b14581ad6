"""Write docs/cli.md from what `--help` says: `python -m tests.docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import duckdb

from index.migrations import migrate
from index.predicate import COLUMNS
from sovgen.cli.main import program

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# The command line

Written from `--help` by `make docs`; a test fails when the two differ.
Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed (two lines say
what happened and what to do; `--debug` shows where), 2 usage mistake, 130 stopped by Ctrl-C.

## Where the settings come from
An option comes first, then the variable `SOVGEN_LIBRARY` (for the library), then the config file,
then the default. The config file is `config.toml` in the platform's config folder for `sovgen`, or
what `SOVGEN_CONFIG` names; its keys are `library`, `model`, `encoder`, `device` and `dtype`, all
text. `SOVGEN_CACHE` moves the cache of checksums.

## Completion
`eval "$(_SOVGEN_COMPLETE=bash_source sovgen)"`, in zsh with `zsh_source`, in fish with
`fish_source`.

## How pictures are listed
On a terminal a table that fits it. Through a pipe one line a picture, its columns parted by tabs:
id, score, seed, model, prompt, path; `-` where there is nothing. With `--json` one array of
objects with at least `id`, `path` (absolute), `seed`, `prompt` and `model`; a search adds `score`.
With `--paths` the files alone, as their bytes.

## Columns for `--where`
`--where` takes one SQL condition over these columns, in DuckDB's dialect: `steps >= 20`,
`prompt ILIKE '%fox%'`, `list_contains(tags, 'animal')`, `rating >= 4 AND model = 'sovgen-mini'`.

| column | type | what it is |
| --- | --- | --- |
"""
MEANING = {
    "id": "52 characters made from the pixels",
    "seq": "the number in this library, in the order of adding",
    "path": "relative to the library when the file is inside it",
    "prompt": "what was asked for; NULL where nobody recorded it",
    "negative": "what the picture should not be",
    "model": "the model's name",
    "model_hash": "what its weights amount to",
    "sampler": "the sampler's name",
    "steps": "denoising steps",
    "guidance": "how strictly the prompt was followed",
    "seed": "what the noise was drawn from",
    "width": "pixels",
    "height": "pixels",
    "media": "such as image/png",
    "frames": "1, or how many an animation has",
    "bytes": "of the file",
    "kind": "illustration, icon, diagram, product, photo or unknown",
    "rating": "0 to 5, by hand",
    "note": "by hand",
    "adherence": "cosine of the picture with its own prompt",
    "device": "what it was drawn on",
    "dtype": "in which number format",
    "duration": "seconds",
    "producer": "the program that made it",
    "encoder_match": "whether the pipeline's text tower is the library's: shared, equal, different",
    "safety": "the verdict of the model's own safety checker, where it was asked for",
    "added": "UTC",
    "made": "UTC",
    "tags": "by the encoder and by hand",
    "sets": "names of the sets that hold it",
    "colours": "names, the largest share first",
}


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of a command, then those of all that stand under it."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            yield from commands(under, click.Context(under, context, name))


def columns() -> str:
    """The rows of the table of columns, as the catalogue has them."""
    connection = duckdb.connect()
    migrate(connection)
    rows = connection.execute("SELECT column_name, column_type FROM (DESCRIBE library)").fetchall()
    types = dict(rows)
    return "".join(f"| `{name}` | {types[name]} | {MEANING[name]} |\n" for name in COLUMNS)


def page() -> str:
    """docs/cli.md as it should be."""
    top = click.Context(program, info_name="sovgen", terminal_width=80, max_content_width=80)
    parts = [HEAD, columns()]
    for context in commands(program, top):
        parts.append(f"\n## {context.command_path}\n```\n{context.get_help()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
