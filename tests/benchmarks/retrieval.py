"""How well a text finds its pictures: by their look, by the words written of them, by both.

`python -m tests.benchmarks retrieval`: OpenMoji's pictures, a style that no training set holds, in
three libraries: all of them with a prompt, every other one, none. A prompt is the picture's name,
but for one in ten, which names another picture, as when a model does not obey. Texts are names,
names with a letter left out, and keywords that no prompt need hold; what is right for a text is
every picture of whose words (name, keywords, group) its words are a part. One half of the texts
chooses the fusion's weights, the other half is judged.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from index import Library, Making, New, Query, fusion, lexical, meanings, words
from index.encoder import Encoder, load_encoder
from index.passing import every
from index.query import Mode, terms_of
from index.record import pixel_id
from index.vocabulary import load_queries
from tests.benchmarks.measure import print_table
from tests.benchmarks.pictures import Labelled, labelled_pictures, split_words

MODES: tuple[Mode, ...] = ("pixels", "words", "both")
SHARES = {"all": 1, "half": 2}  # every how many-th picture has a prompt
ASTRAY = 10  # every how many-th prompt names another picture
TEXTS = 200  # of each kind, at most
MANY = 60  # a keyword that is true of more pictures than this tells them apart too little
FIRST = 10


@dataclass(frozen=True)
class Text:
    """What is searched for, and the ids of the pictures that are right."""

    text: str
    right: frozenset[str]


@dataclass(frozen=True)
class Order:
    """What both rankings say to one text: ids, ranks from 1 (0: absent) and shares of the words."""

    ids: Sequence[str]
    looks: NDArray[np.int64]
    words: NDArray[np.int64]
    shares: NDArray[np.float32]


def main(arguments: list[str]) -> None:
    pictures, encoder = labelled_pictures("openmoji"), load_encoder()
    with tempfile.TemporaryDirectory() as folder:
        libraries = dict(_libraries(Path(folder), pictures, encoder))
        named = [(p, pixel_id(p.image)) for p in pictures]
        fitting, judged = _texts(named, half=0), _texts(named, half=1)
        _print_modes(libraries, judged)
        _print_weights(libraries["half"], fitting)
        _print_strong(libraries)
    _print_times()


def _libraries(
    folder: Path, pictures: Sequence[Labelled], encoder: Encoder
) -> Iterator[tuple[str, Library]]:
    """The same pictures with other shares of prompts."""
    bare = Library.create(folder / "none", encoder)
    for start in range(0, len(pictures), 256):
        bare.keep([_new(p, None) for p in pictures[start : start + 256]])
    yield "none", bare
    for name in ("half", "all"):
        shutil.copytree(folder / "none", folder / name)
        library = Library.open(folder / name, encoder)
        prompted = [p for p in pictures if _coin(p.name, "prompt") % SHARES[name] == 0]
        library.keep([_new(p, _prompt(p, pictures)) for p in prompted])
        yield name, library


def _new(picture: Labelled, prompt: str | None) -> New:
    data = io.BytesIO()
    picture.image.save(data, "PNG")
    making = Making("tests.benchmarks", prompt=prompt) if prompt else None
    return New(data.getvalue(), "picture", picture.image, making)


def _prompt(picture: Labelled, pictures: Sequence[Labelled]) -> str:
    if _coin(picture.name, "astray") % ASTRAY:
        return picture.name
    return pictures[_coin(picture.name, "other") % len(pictures)].name


def _texts(named: Sequence[tuple[Labelled, str]], half: int) -> dict[str, list[Text]]:
    """Names, mistyped names and keywords of one half, the same on every machine."""
    rng = random.Random(half)
    names = sorted({p.name for p, _ in named if _coin(p.name, "half") % 2 == half})
    known = {word for name in names for word in name.split()}
    words = {w for p, _ in named for w in p.words if w.isalpha() and len(w) > 2}
    keywords = sorted(w for w in words - known if _coin(w, "half") % 2 == half)
    found = {
        "names": [Text(n, _right(n, named)) for n in names],
        "mistyped": [Text(_mistyped(n), _right(n, named)) for n in names if _mistyped(n) != n],
        "keywords": [Text(w, _right(w, named)) for w in keywords],
    }
    return {
        kind: rng.sample(fit := [t for t in texts if len(t.right) <= MANY], min(TEXTS, len(fit)))
        for kind, texts in found.items()
    }


def _right(text: str, named: Sequence[tuple[Labelled, str]]) -> frozenset[str]:
    wanted = split_words(text)
    return frozenset(id for picture, id in named if wanted <= picture.words)


def _mistyped(name: str) -> str:
    """The longest word without one of its inner letters; short ones stay."""
    longest = max(name.split(), key=len)
    place = 1 + _coin(longest, "letter") % max(1, len(longest) - 2)
    without = longest[:place] + longest[place + 1 :]
    return name.replace(longest, without, 1) if len(longest) > 4 else name


def _print_modes(libraries: dict[str, Library], texts: dict[str, list[Text]]) -> None:
    rows = []
    for name, library in libraries.items():
        for kind, asked in texts.items():
            figures = [_figures(asked, partial(_found, library, mode)) for mode in MODES]
            rows.append(
                [name, f"{kind} ({len(asked)})", *(f"{r:.3f} / {n:.3f}" for r, n in figures)]
            )
    columns = ["with prompts", "texts", *MODES]
    print_table(f"Retrieval: recall@{FIRST} / nDCG@{FIRST}, judged half", columns, rows)


def _found(library: Library, mode: Mode, text: str) -> list[str]:
    query = Query(text, k=FIRST, mode=mode, everything=True)
    return [hit.entry.id for hit in library.search(query).hits]


def _figures(texts: Sequence[Text], search: Callable[[str], Sequence[str]]) -> tuple[float, float]:
    """Mean recall and nDCG of the first ten; recall of more than ten right ones is out of ten."""
    recalls, gains = [], []
    for text in texts:
        hits = [id in text.right for id in search(text.text)[:FIRST]]
        most = min(FIRST, len(text.right))
        recalls.append(sum(hits) / most)
        ideal = sum(1 / np.log2(place + 2) for place in range(most))
        gains.append(sum(h / np.log2(place + 2) for place, h in enumerate(hits)) / ideal)
    return statistics.mean(recalls), statistics.mean(gains)


def _print_weights(library: Library, texts: dict[str, list[Text]]) -> None:
    """nDCG by the constants of `index.fusion`, over one pass of both rankings."""
    orders = {t.text: _order(library, t.text) for asked in texts.values() for t in asked}
    rows = []
    for k in (5, 10, 20, 60):
        for weight in (0.5, 1.0, 2.0, 4.0):
            for power in (0, 1):
                fused = {t: _fused(o, k, weight, power) for t, o in orders.items()}
                found = [_figures(asked, fused.__getitem__)[1] for asked in texts.values()]
                mean = statistics.mean(found)
                share = "by its share" if power else "whole"
                rows.append([str(k), f"{weight:g}", share, *(f"{v:.3f}" for v in (*found, mean))])
    columns = ["K", "weight of words", "words count", *texts, "mean"]
    print_table(f"Fusion: nDCG@{FIRST}, half with prompts, fitting half", columns, rows)


def _order(library: Library, text: str) -> Order:
    hits = library.search(Query(text, k=None, everything=True)).hits
    looks = np.array([hit.looks_rank for hit in hits])
    return Order(
        [hit.entry.id for hit in hits],
        np.where(looks <= fusion.DEPTH, looks, 0),
        np.array([hit.words_rank for hit in hits]),
        np.array([hit.words_score for hit in hits], np.float32),
    )


def _fused(order: Order, k: int, weight: float, power: int) -> list[str]:
    looks = np.where(order.looks, 1 / (k + np.maximum(order.looks, 1)), 0)
    written = np.where(order.words, weight / (k + np.maximum(order.words, 1)), 0)
    best = np.argsort(-(looks + order.shares**power * written), kind="stable")
    return [order.ids[place] for place in best]


def _print_strong(libraries: dict[str, Library]) -> None:
    """Which judged queries the words alone call a match."""
    kinds = ("match", "described", "gibberish", "subject", "absent")
    rows = []
    for name in ("all", "half"):
        with libraries[name].store.reading() as connection:
            best = {
                kind: [
                    _best(connection, libraries[name].encoder, text)
                    for text in getattr(load_queries("test"), kind)
                ]
                for kind in kinds
            }
        rows.append(
            [name, *(f"{np.mean(np.array(b) >= lexical.STRONG):.2f}" for b in best.values())]
        )
    print_table("Queries that the words call a match", ["with prompts", *kinds], rows)


def _best(connection: duckdb.DuckDBPyConnection, encoder: Encoder, text: str) -> float:
    kin = partial(meanings.near, connection, encoder)
    found = lexical.find(connection, terms_of(Query(text)), every(), kin)
    return float(found.proofs.max(initial=0))


def _print_times() -> None:
    """Milliseconds of the lexical part alone, over prompts of 4 to 16 words of 4,000."""
    texts = {
        "one word": "fox",
        "ten words": "fox red snow cat tree house car sun moon face",
        "one with a typo": "elefant",
    }
    rows = []
    for count in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder, _written(Path(folder), count) as connection:
            rows.append([f"{count:,}", *(_time(connection, text) for text in texts.values())])
    print_table("Words: ms, median (quartiles) of 21", ["pictures", *texts], rows)


def _written(folder: Path, count: int) -> duckdb.DuckDBPyConnection:
    """A catalogue's tables of words on disk, as a search opens them."""
    rng = random.Random(count)
    known = sorted({w for p in labelled_pictures("openmoji") for w in p.words})
    prompts = [" ".join(rng.choices(known, k=rng.randint(4, 16))) for _ in range(count)]
    path = folder / "words.duckdb"
    connection = duckdb.connect(path)
    connection.execute(
        "CREATE TABLE words (picture BIGINT, word VARCHAR);"
        "CREATE TABLE tags (picture BIGINT, tag VARCHAR);"
        "CREATE TABLE curation (picture BIGINT, note VARCHAR, caption VARCHAR)"
    )
    connection.execute(
        "CREATE TABLE makings AS SELECT unnest(range($1)) AS picture, true AS newest, "
        "unnest($2::VARCHAR[]) AS prompt",
        [count, prompts],
    )
    connection.execute("CREATE TABLE pictures AS SELECT picture AS seq FROM makings")
    words.renew(connection)
    connection.close()
    return duckdb.connect(path, read_only=True, config={"threads": 2})


def _time(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    taken = []
    for _ in range(21):
        start = time.perf_counter()
        lexical.find(connection, terms_of(Query(text)), every())
        taken.append(1000 * (time.perf_counter() - start))
    low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def _coin(name: str, use: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{use} {name}".encode()).digest()[:4], "big")
