"""Questions to the library never load what drawing needs, whatever they ask."""

from __future__ import annotations

import shlex
from pathlib import Path

from index import Library, Query
from tests.cli.conftest import Loaded

HEAVY = {"torch", "torchvision", "open_clip", "diffusers", "transformers", "timm", "accelerate"}
COMMANDS = """
    search fruit --all --minus night
    search "日本の果物 🍎" --all --json
    search --like {id} --where "steps < 9" --paths
    list --since 2020-01-01 --json
    show {id}
    tag {id} favourite
    rate {id} 4
    set new some
    set add some {id}
    set show some
    set list
    export --set some --to {out}/folder --metadata full
    export --search fruit --all --to {out}/sheet --format sheet
    export --ids {id} --to {out}/csv --format csv
    duplicates
    dedup --dry-run
    sql "SELECT count(*) FROM library"
    library info
    models list
    delete {id}
"""


def test_answering_never_loads_what_drawing_needs(
    library: Path, loaded: Loaded, tmp_path: Path
) -> None:
    [first] = Library.open(library).list(Query(k=1))
    for line in COMMANDS.strip().splitlines():
        words = shlex.split(line.format(id=first.id[:10], out=tmp_path))
        _, packages = loaded("--library", library, *words)
        assert "sovgen" in packages and not packages & HEAVY, words
