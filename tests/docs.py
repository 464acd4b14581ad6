"""Write docs/cli.md from `--help`, docs/sql.md from the schema: `python -m tests.docs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import duckdb

from index.migrations import migrate
from index.views import VIEWS
from sovgen.cli.main import program

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
SQL_PAGE = PAGE.with_name("sql.md")
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

## How a search ranks
With `--mode pixels` by the cosine of each picture with the query, -1 to 1. With `--mode words` by
the share of the query's words that is written of the picture, 0 to 1: in its prompt, tags,
note or caption,
whole, as a beginning (`fox` in `foxes`), or with one typo where no picture has the word so; rare
words count more. With `--mode both` by its ranks in the two, 0 to 1; words that mean much the same
to the library's CLIP count there too, a little less (`fruit` finds a prompt that says apple); where
no picture has any of the words, by the cosine alone. `--explain` shows every part. `--minus` and
weights count in both: `"cat::2 night::-0.5"`.

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
    "caption": "by hand: what the picture shows",
    "adherence": "cosine of the picture with its own prompt",
    "device": "what it was drawn on",
    "dtype": "in which number format",
    "backend": "what asked the denoiser: torch, compile or openvino",
    "duration": "seconds",
    "producer": "the program that made it",
    "encoder_match": "whether the pipeline's text tower is the library's: shared, equal, different",
    "safety": "the verdict of the model's own safety checker, where it was asked for",
    "clip_skip": "how many of the text tower's last layers were left out, from 1",
    "schedule": "how the sigmas are spaced, where it was asked for",
    "guidance_rescale": "how far guidance was scaled back to the spread of the prompted half",
    "guidance_from": "guidance began at this share of the steps",
    "guidance_until": "guidance ended at this share of the steps",
    "cache_interval": "deep features were computed at every Nth step",
    "vae_tile": "side of the tiles that the autoencoder worked in, pixels, where it did",
    "variation": "how much of the noise is the variation's, 0 to 1",
    "variation_seed": "what the variation's noise was drawn from",
    "init": "id of the picture that it began from",
    "strength": "how much of that picture was drawn anew, 0 to 1",
    "mask": "id of the picture that is white where it was drawn anew",
    "margins": "pixels added at the left, top, right and bottom",
    "upscale": "how many times larger than `init`",
    "upscaler": "the upscaling model",
    "tile": "side of the tiles that it was drawn in, pixels",
    "transparent": "whether its ground was taken away",
    "refiner": "the model that took over before the end",
    "refine_from": "the share of the noise schedule that was gone by then",
    "loras": "LoRAs with their weights",
    "embeddings": "textual inversions",
    "vae": "the autoencoder in place of the model's own",
    "control": "the ControlNet",
    "control_image": "id of the picture that it followed",
    "control_weight": "how strictly",
    "adapter": "the IP-Adapter",
    "reference": "ids of the pictures that it looked at, with their weights",
    "added": "local time of the machine, at that moment",
    "made": "local time of the machine, at that moment",
    "tags": "by the encoder and by hand",
    "sets": "names of the sets that hold it",
    "colours": "names, the largest share first",
}

SQL_HEAD = """# Questions in SQL

Written from the schema by `make docs`; a test fails when the two differ.

`sovgen sql "SELECT ..."` answers one SELECT in DuckDB's dialect over the views below. Through a
pipe each row is one line, its values parted by tabs, `-` where there is nothing; `--json` gives one
array of objects. `DESCRIBE library` lists the columns of a view.

Pictures in the trash and in hidden sets, and hidden sets themselves, are in none of the views. The
tables underneath cannot be named: they may change from version to version, the views do not.

The views that a question names are copied into the memory of a process of its own; then the
catalogue is let go. So a question can change nothing and read no file, others go on writing
however long it takes, and Ctrl-C or `--timeout` (60 s when not given) ends it at any instant.
What it can call beside scalar functions and aggregates: `unnest`, `range`, `generate_series`,
`json_each`, `json_tree`.
"""
VIEW_MEANING = {
    "library": "One row per picture: its main file, its newest making, what people said of it.",
    "files": "The files of each picture: one that was found in several places has several.",
    "makings": "How each picture was made; one that was found with several recipes has several.",
    "tags": "One row per picture, tag and source.",
    "colours": "The dominant colours of each picture.",
    "sets": "The sets that are not hidden.",
    "set_members": "Which pictures a set holds.",
}
SQL_MEANING = MEANING | {
    "inside": "whether the file stands in the library's folder; `path` is then relative to it",
    "main": "whether it is the file that the library shows",
    "file_sha256": "of the file's bytes, hexadecimal",
    "modified": "when the file was changed last, UTC",
    "newest": "whether it is the making that the library shows",
    "extra": "what else its producer recorded",
    "tag": "normalised: lower case, single spaces",
    "source": "`clip` or `hand`",
    "score": "the encoder's, NULL by hand",
    "rank": "0 for the largest share",
    "hex": "such as #aabbcc",
    "share": "of the picture, 0 to 1",
    "created": "UTC",
    "pictures": "how many it shows",
    "position": "rises in the order of the set; numbers may be missing",
    "set_name": "the name of the set",
    "name": "of the set, or of the colour",
}


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of a command, then those of all that stand under it."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            yield from commands(under, click.Context(under, context, name))


def understand(words: list[str]) -> None:
    """Parse a command as the program would, without running it; raises what it would say."""
    command: click.Command = program
    context = click.Context(program, info_name="sovgen")
    while isinstance(command, click.Group):
        under = command.get_command(context, words.pop(0))
        assert under is not None
        command = under
    command.make_context("shown", words, parent=context)


def types() -> dict[str, dict[str, str]]:
    """The columns and types of every documented view, as the catalogue has them."""
    connection = duckdb.connect()
    migrate(connection)
    found = {}
    for name, select in VIEWS.items():
        rows = connection.execute(f"DESCRIBE {select}").fetchall()
        found[name] = {row[0]: row[1] for row in rows}
    return found


def columns() -> str:
    """The rows of the table of columns, as the catalogue has them."""
    return _rows(types()["library"], MEANING)


def _rows(columns: Mapping[str, str], meaning: Mapping[str, str]) -> str:
    return "".join(f"| `{name}` | {kind} | {meaning[name]} |\n" for name, kind in columns.items())


def sql_page() -> str:
    """docs/sql.md as it should be."""
    parts = [SQL_HEAD]
    for name, columns in types().items():
        parts.append(f"\n## {name}\n{VIEW_MEANING[name]}\n\n| column | type | what it is |\n")
        parts.append(f"| --- | --- | --- |\n{_rows(columns, SQL_MEANING)}")
    return "".join(parts)


def page() -> str:
    """docs/cli.md as it should be."""
    top = click.Context(program, info_name="sovgen", terminal_width=80, max_content_width=80)
    parts = [HEAD, columns()]
    for context in commands(program, top):
        parts.append(f"\n## {context.command_path}\n```\n{context.get_help()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SQL_PAGE.write_text(sql_page(), encoding="utf-8")
