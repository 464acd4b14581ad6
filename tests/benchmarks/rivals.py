"""Rivals: other ways to look through the same vectors, each in a process of its own.

`python -m tests.benchmarks.rivals NAME build|ask LIKENESSES PLACE` prints one line of JSON. Each is
used as its own documentation shows it, on one processor, filters before the search. What takes long
is made on two: how fast a rival is made is not what is compared.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.benchmarks import questions
from tests.benchmarks.likenesses import WIDTH
from tests.benchmarks.questions import BOUNDS, EVERY, UNFILTERED, Ask, K, steps_of

LIMIT_S = 2_400  # for making one
MAKERS = 2  # threads
# LanceDB's k-means with FAISS's ten rounds, instead of 50, and a quarter of its own sample.
ROUNDS, SAMPLE = 10, 64

# Makes an asking side of a place, for a bound on steps; EVERY is no filter.
Opened = Callable[[Path, int], Ask]


def flat(place: Path, path: Path) -> None:
    _faiss(place, path, lambda faiss: faiss.IndexFlatIP(WIDTH))


def hnsw(place: Path, path: Path) -> None:
    def made(faiss):  # noqa: ANN001, ANN202
        index = faiss.IndexHNSWFlat(WIDTH, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        return index

    _faiss(place, path, made)


def _faiss(place: Path, path: Path, made: Callable) -> None:
    import faiss

    faiss.omp_set_num_threads(MAKERS)
    index = made(faiss)
    for _, rows in questions.blocks(path):
        index.add(rows)
    faiss.write_index(index, str(place))


@contextmanager
def asking_faiss(place: Path) -> Iterator[Callable[[int | None], Ask]]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(str(place))

    def side(bound: int | None) -> Ask:
        extra = {}
        if bound is not None:
            bits = steps_of(np.arange(1, index.ntotal + 1)) < bound
            extra["sel"] = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
        is_graph = isinstance(index, faiss.IndexHNSW)
        if is_graph:
            extra["efSearch"] = 64
        kind = faiss.SearchParametersHNSW if is_graph else faiss.SearchParameters
        parameters = kind(**extra)
        return lambda aim: index.search(aim[None], K, params=parameters)[1][0] + 1

    yield side


def duckdb_table(place: Path, path: Path) -> None:
    import duckdb

    with duckdb.connect(str(place)) as connection:
        connection.execute(f"CREATE TABLE rows (n BIGINT, steps INT, embedding FLOAT[{WIDTH}])")
        for first, rows in questions.blocks(path):
            numbers, column = np.arange(first, first + len(rows)), np.empty(len(rows), object)
            column[:] = list(rows)
            connection.register("new", {"n": numbers, "s": steps_of(numbers), "e": column})
            connection.execute("INSERT INTO rows SELECT * FROM new")
            connection.unregister("new")


@contextmanager
def asking_duckdb(place: Path) -> Iterator[Callable[[int | None], Ask]]:
    import duckdb

    connection = duckdb.connect(str(place), read_only=True, config={"threads": 2})
    order = f"ORDER BY array_cosine_similarity(embedding, ?::FLOAT[{WIDTH}]) DESC LIMIT {K}"

    def side(bound: int | None) -> Ask:
        where = "" if bound is None else f"WHERE steps < {bound}"
        statement = f"SELECT n FROM rows {where} {order}"
        return lambda aim: connection.execute(statement, [aim.tolist()]).fetchnumpy()["n"]

    yield side
    connection.close()


def lance(place: Path, path: Path) -> None:
    import lancedb
    import pyarrow as pa

    def batches():  # noqa: ANN202
        for first, rows in questions.blocks(path):
            numbers = np.arange(first, first + len(rows))
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), WIDTH)
            columns = [pa.array(numbers), pa.array(steps_of(numbers)), vectors]
            yield pa.RecordBatch.from_arrays(columns, ["n", "steps", "vector"])

    kind = pa.list_(pa.float32(), WIDTH)
    schema = pa.schema([("n", pa.int64()), ("steps", pa.int64()), ("vector", kind)])
    lancedb.connect(str(place)).create_table("rows", batches(), schema=schema)


def lance_index(place: Path, path: Path) -> None:
    import lancedb
    from lancedb.index import IvfPq

    lance(place, path)
    kind = IvfPq(distance_type="cosine", max_iterations=ROUNDS, sample_rate=SAMPLE)
    lancedb.connect(str(place)).open_table("rows").create_index("vector", config=kind)


@contextmanager
def asking_lance(place: Path) -> Iterator[Callable[[int | None], Ask]]:
    import lancedb

    table = lancedb.connect(str(place)).open_table("rows")

    def side(bound: int | None) -> Ask:
        def ask(aim: np.ndarray):  # noqa: ANN202
            query = table.search(aim).distance_type("cosine").limit(K).select(["n", "_distance"])
            if table.list_indices():
                query = query.nprobes(64).refine_factor(20)
            if bound is not None:
                query = query.where(f"steps < {bound}", prefilter=True)
            return query.to_arrow()["n"].to_numpy()

        return ask

    yield side


RIVALS = {
    "FAISS Flat": (flat, asking_faiss),
    "FAISS HNSW 32, ef 64": (hnsw, asking_faiss),
    "DuckDB array_cosine_similarity": (duckdb_table, asking_duckdb),
    "LanceDB, no index": (lance, asking_lance),
    "LanceDB IVF_PQ, 64 probes, refined": (lance_index, asking_lance),
}


def main(name: str, verb: str, likenesses: str, place: str) -> None:
    path, target = Path(likenesses), Path(place)
    build, asking = RIVALS[name]
    if verb == "build":
        signal.alarm(LIMIT_S)  # whoever takes longer is ended, and the table says so
        start = time.perf_counter()
        build(target, path)
        print(json.dumps({"seconds": time.perf_counter() - start}))
        return
    true = questions.truth(path)
    count = int(path.stem.split("-")[1])
    with asking(target) as side:
        told = {UNFILTERED: questions.asked(side(None), count, true[str(EVERY)])}
        for bound in BOUNDS:
            told[str(bound)] = questions.asked(side(bound), count, true[str(bound)])
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
