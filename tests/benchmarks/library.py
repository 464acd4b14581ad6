"""A library beside other ways to look through vectors: `python -m tests.benchmarks library`.

`--rows 10000,100000,1000000` says how many. All sides hold the same vectors
(`tests.benchmarks.likenesses`), of 512 numbers as those of ViT-B/32 and B/16, which most people
have; the bundled encoder's 384 would take three quarters of every time and size. Every side is
made in one process and asked in another. Vector times are of one processor (DuckDB has two threads
in any library of ours, so as a rival too), warm, one question after the other.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import FOLDER, print_table, run_child

ROWS = (10_000, 100_000, 1_000_000)
SHARES = {"1": "0.1 %", "10": "1 %", "100": "10 %", "1000": "100 %"}
OURS, EXACT = "sovgen", "sovgen --exact"
FLAT, HNSW = "FAISS Flat", "FAISS HNSW 32, ef 64"
INDEXED = "LanceDB IVF_PQ, 64 probes, refined"
RIVALS = (FLAT, "DuckDB array_cosine_similarity", "LanceDB, no index", INDEXED, HNSW)
HALF = 2 * 512  # bytes of a vector in half precision

Told = dict[str, Any]


def main(arguments: Sequence[str]) -> None:
    counts = ROWS
    if arguments:
        _, _, given = " ".join(arguments).replace("=", " ").partition("--rows ")
        counts = tuple(int(count) for count in given.split(","))
    sides, shelves = {}, {}
    for count in counts:
        path = _likenesses(count)
        shelves[count] = _shelf(count, path)
        rivals = {name: _rival(name, path) for name in RIVALS if _is_run(name)}
        made = {name: told for name, told in rivals.items() if told is not None}
        sides[count] = {OURS: shelves[count], **made}
        print(f"{count:,} done", file=sys.stderr)
    _print_unfiltered(sides)
    _print_filtered(sides)
    _print_whole(shelves)
    _print_upkeep(shelves)


def _is_run(name: str) -> bool:
    """Not without the extra `bench`."""
    return not name.startswith("LanceDB") or find_spec("lancedb") is not None


def _likenesses(count: int) -> Path:
    source = "from tests.benchmarks import likenesses as l; from pathlib import Path; "
    run_child([sys.executable, "-c", f"{source}l.laid(Path({str(FOLDER)!r}), {count})"])
    return FOLDER / f"likenesses-{count}.npy"


def _shelf(count: int, path: Path) -> Told:
    root = FOLDER / f"shelf-{count}"
    shutil.rmtree(root, ignore_errors=True)
    told: Told = {}
    # those that change the library come last
    for verb in ("build", "ask", "whole", "lose", "mend", "lose", "reopen", "keep"):
        told[verb] = _told("tests.benchmarks.shelf", verb, path, root)
    shutil.rmtree(root)
    return told


def _rival(name: str, path: Path) -> Told | None:
    """None where making it takes longer than a rival is given."""
    place = FOLDER / f"rival-{path.stem}"
    try:
        told = {"build": _told("tests.benchmarks.rivals", name, "build", path, place)}
    except subprocess.CalledProcessError as error:
        if error.returncode != -signal.SIGALRM:
            raise
        return None
    size = sum(p.stat().st_size for p in (place, *place.rglob("*")) if p.is_file())
    told["build"]["bytes"] = size / int(path.stem.split("-")[1])
    told["ask"] = _told("tests.benchmarks.rivals", name, "ask", path, place)
    shutil.rmtree(place, ignore_errors=True)
    place.unlink(missing_ok=True)
    return told


def _told(module: str, *arguments: object) -> Told:
    child = run_child(
        [sys.executable, "-m", module, *map(str, arguments)], {"OMP_NUM_THREADS": "1"}
    )
    told = {**json.loads(child.output.splitlines()[-1]), "peak_mb": child.peak_mb}
    print(module, *arguments[:-2], json.dumps(told), file=sys.stderr, flush=True)
    return told


def _print_unfiltered(sides: Mapping[int, Mapping[str, Told]]) -> None:
    rows = []
    for count, told in sides.items():
        flat = told[FLAT]["ask"]["unfiltered"]["cpu"]
        for name, side in _with_exact(told):
            asked, build = side["ask"]["unfiltered"], side["build"]
            weight = build.get("bytes", build.get("snapshot_bytes"))
            rows.append(
                [
                    f"{count:,}",
                    name,
                    f"{asked['p50']:.2f}",
                    f"{asked['p95']:.2f}",
                    f"{asked['cpu']:.2f}",
                    f"{asked['cpu'] / flat:.3f}",
                    f"{asked['recall']:.3f}",
                    f"{weight / HALF:.2f}",
                    f"{side['ask']['peak_mb']:.0f}",
                    f"{build.get('seconds', build.get('rebuild_s')):.1f}",
                ]
            )
        rows += [[f"{count:,}", name, *["not run"] * 8] for name in RIVALS if name not in told]
    columns = ["vectors", "side", "p50 ms", "p95 ms", "processor ms", "of Flat's", "recall@10"]
    columns += ["bytes of fp16", "peak MB", "made in s"]
    deleted = [
        f"{c:,}: {s[OURS]['ask']['deleted']['recall']:.3f} in "
        f"{s[OURS]['ask']['deleted']['p50']:.2f} ms"
        for c, s in sides.items()
    ]
    print_table(
        "Vector time without a filter",
        columns,
        rows,
        [
            "sovgen's recall with deletions, the best two of every question among them: "
            + "; ".join(deleted)
            + ".",
            "Rivals are made in two threads, LanceDB's IVF_PQ with ten rounds of k-means; making "
            "is not compared. Not run: what took longer than forty minutes to make.",
        ],
    )


def _with_exact(told: Mapping[str, Told]) -> list[tuple[str, Told]]:
    ours = told[OURS]
    forced = {**ours, "ask": {**ours["ask"], "unfiltered": ours["ask"]["exact"]}}
    return [(OURS, ours), (EXACT, forced), *[pair for pair in told.items() if pair[0] != OURS]]


def _print_filtered(sides: Mapping[int, Mapping[str, Told]]) -> None:
    rows = []
    for count, told in sides.items():
        for name, side in told.items():
            cells = [side["ask"][bound] for bound in SHARES]
            shown = [
                f"{c['p50']:.2f} / {c['p95']:.2f} / {c['cpu']:.2f} ({c['recall']:.3f})"
                for c in cells
            ]
            rows.append([f"{count:,}", name, *shown])
    print_table(
        "Vector time with a filter: p50 / p95 / processor ms (recall@10 against brute force)",
        ["vectors", "side", *SHARES.values()],
        rows,
        ["What passes: a list of numbers for sovgen, a bitmap for FAISS, a condition for others."],
    )


def _print_whole(shelves: Mapping[int, Told]) -> None:
    parts = {
        "open the library": "open",
        "predicate (1 % pass) to numbers": "predicate",
        "20 numbers to hits": "hits",
        "whole question, by look": "look",
        "whole question, by look, 1 % pass": "look, 1 %",
        "whole question, by look and words": "both",
        "whole question, by look and words, 1 % pass": "both, 1 %",
    }
    rows = [
        [
            f"{count:,}",
            label,
            f"{told['whole'][key]['p50']:.1f}",
            f"{told['whole'][key]['p95']:.1f}",
            f"{told['whole'][key]['cpu']:.1f}",
        ]
        for count, told in shelves.items()
        for label, key in parts.items()
    ]
    print_table(
        "Warm questions in one process, the catalogue opened for each",
        ["pictures", "what", "p50 ms", "p95 ms", "processor ms"],
        rows,
    )


def _print_upkeep(shelves: Mapping[int, Told]) -> None:
    rows = []
    for count, told in shelves.items():
        build, again = told["build"], told["reopen"]
        both = [told[verb]["peak_mb"] for verb in ("whole", "build")]
        rows.append(
            [
                f"{count:,}",
                f"{again['open_s']:.2f} / {again['answer_s']:.2f}",
                f"{told['mend']['catch_up_s']:.2f}",
                f"{build['rebuild_s']:.1f}",
                f"{told['keep']['one']:.1f} / {told['keep']['many']:.1f}",
                f"{both[0]:.0f} / {both[1]:.0f}",
                f"{build['catalogue_bytes']:.0f} / {build['snapshot_bytes']:.0f}",
            ]
        )
    columns = ["pictures", "opened / first answer, 10,000 rows missing, s", "catch-up s"]
    columns += ["rebuild s", "kept a second, singly / 32 at once", "peak MB asking / making"]
    columns += ["bytes a picture, catalogue / snapshot"]
    notes = [f"{count:,}: {told['build']['index']}." for count, told in shelves.items()]
    print_table("Upkeep", columns, rows, notes)
