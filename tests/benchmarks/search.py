"""A cold search against a script that does it the usual way: `python -m tests.benchmarks search`.

The library and the script hold the same vectors of a CLIP of ViT-B/32's shape and the same rows.
The script loads the encoder with open_clip, reads a flat FAISS index, and looks twenty rows up in
DuckDB. Every run is a process of its own, from start to twenty printed rows; files are in the
system's cache.
"""

from __future__ import annotations

import hashlib
import sys
import textwrap
from base64 import b32encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from tests.benchmarks.measure import FOLDER, Child, interleave, print_table, run_child, spread
from tests.benchmarks.vit_b32 import FOLDER as ENCODER
from tests.benchmarks.vit_b32 import vit_b32

COUNTS = (1_000, 10_000, 100_000)
ROUNDS = 5
HITS = 20
BATCH = 5_000
TEXT = "a red fox in the snow"

SCRIPT = textwrap.dedent(
    """
    import sys, torch, open_clip, faiss, duckdb
    encoder, index, rows, text, k = sys.argv[1:]
    model, _, _ = open_clip.create_model_and_transforms("local-dir:" + encoder)
    tokenizer = open_clip.get_tokenizer("local-dir:" + encoder)
    with torch.inference_mode():
        vector = model.eval().encode_text(tokenizer([text]), normalize=True).numpy()
    scores, numbers = faiss.read_index(index).search(vector, int(k))
    con = duckdb.connect(rows, read_only=True)
    found = dict(con.execute("SELECT seq, path FROM rows WHERE seq IN ?", [numbers[0].tolist()])
                 .fetchall())
    for score, number in zip(scores[0], numbers[0]):
        print(score, found[int(number)])
    """
)


def main(arguments: Sequence[str]) -> None:
    rows = []
    for count in map(int, arguments or COUNTS):
        folder = FOLDER / f"search-{count}"
        library, index, table = folder / "library", folder / "flat.faiss", folder / "rows.duckdb"
        if not table.exists():  # in a child, so that this process stays small
            run_child([sys.executable, "-c", f"from {__name__} import lay; lay({count})"])
        ours = [sys.executable, "-m", "sovgen", "--library", str(library), "search", TEXT]
        theirs = [sys.executable, "-c", SCRIPT, str(ENCODER), str(index), str(table), TEXT]
        sides: dict[str, Callable[[], Child]] = {
            "sovgen, look and words": lambda c=ours: run_child([*c, "--all", "-k", str(HITS)]),
            "sovgen, look alone": lambda c=ours: run_child(
                [*c, "--all", "-k", str(HITS), "--mode", "pixels"]
            ),
            "torch + open_clip + faiss": lambda c=theirs: run_child([*c, str(HITS)]),
        }
        for side in sides.values():  # the first run of each only warms the system's cache
            assert len(side().output.splitlines()) == HITS
        runs = interleave(sides, ROUNDS)
        slow = runs["torch + open_clip + faiss"]
        for name, children in runs.items():
            ratios = [s.seconds / c.seconds for s, c in zip(slow, children, strict=True)]
            rows.append(
                [
                    f"{count:,}",
                    name,
                    spread([c.seconds for c in children]),
                    spread(ratios, 1),
                    spread([c.peak_mb for c in children], 0),
                ]
            )
    columns = ["pictures", "side", "s", "times faster than the script", "peak MB"]
    print_table("Cold search, whole process", columns, rows)


def lay(count: int) -> None:
    """A library, a FAISS file and a DuckDB file that hold the same."""
    folder = FOLDER / f"search-{count}"
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    vectors = _vectors(count)
    _lay_library(folder / "library", vectors)
    _lay_script(folder / "flat.faiss", folder / "rows.duckdb", vectors)


def _vectors(count: int):  # noqa: ANN202 - numpy is imported within
    """Clustered unit rows (count, 512), as pictures of a few hundred subjects would lie."""
    import numpy as np

    rng = np.random.default_rng(count)
    centres = rng.normal(size=(max(200, count // 200), 512))
    rows = centres[rng.integers(len(centres), size=count)] + rng.normal(size=(count, 512))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _lay_library(root: Path, vectors) -> None:  # noqa: ANN001
    from index import Library, catalogue
    from index.encoder import load_encoder
    from index.refresh import refresh

    library = Library.create(root, load_encoder(vit_b32()))
    for start in range(0, len(vectors), BATCH):
        additions = [
            _addition(n, row) for n, row in enumerate(vectors[start : start + BATCH], start)
        ]
        with library.store.writing() as connection:
            catalogue.insert(connection, additions, library.encoder.fingerprint, held={})
    refresh(library.store, force=True)


def _addition(number: int, vector):  # noqa: ANN001, ANN202
    from index.addition import Addition, File, Look
    from index.making import Making

    digest = hashlib.sha256(str(number).encode()).digest()
    return Addition(
        id=b32encode(digest).decode().rstrip("=").lower(),
        width=512,
        height=512,
        media="image/png",
        frames=1,
        added=datetime(2026, 1, 1, tzinfo=UTC),
        file=File(f"pictures/{number}.png", None, True, digest.hex(), 300_000, number),
        making=Making(producer="sovgen", prompt=_prompt(number), seed=number, model="bench"),
        look=Look(vector, 0.2, "illustration", 0.9, [("animal", 0.5)]),
        colours=(),
    )


def _prompt(number: int) -> str:
    things = ("fox", "cat", "castle", "tree", "ship", "robot", "mountain", "apple")
    grounds = ("snow", "a meadow", "the city", "space", "the sea")
    colours = ("red", "blue", "green", "white", "black", "golden", "grey")
    return f"a {colours[number % 7]} {things[number % 8]} in {grounds[number % 5]} {number % 997}"


def _lay_script(index: Path, table: Path, vectors) -> None:  # noqa: ANN001
    import duckdb
    import faiss

    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    faiss.write_index(flat, str(index))
    with duckdb.connect(str(table)) as connection:
        connection.execute(
            "CREATE TABLE rows AS SELECT n AS seq, format('pictures/{}.png', n) AS path "
            "FROM range(?) numbers(n)",
            [len(vectors)],
        )
