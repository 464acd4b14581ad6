"""Where the floors of an encoder lie, and what they are worth, on labelled pictures.

`python -m tests.benchmarks calibration [--write] [FOLDER]`: one half of the pictures and of the
queries chooses the floors, the other half judges them. `--write` puts the bundled encoder's
floors and figures into data/vocabulary/calibration.json; run it whenever its weights change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from index.bundled import data_folder
from index.calibration import NEVER, Calibration, best_floor, calibrate
from index.encoder import Encoder, load_encoder
from index.tagging import softmax, tag_chances
from index.vocabulary import Queries, load_queries, load_vocabulary
from index.wordbank import WordBank, word_bank
from tests.benchmarks.measure import print_table
from tests.benchmarks.pictures import Labelled, labelled_pictures, split_words

Rows = NDArray[np.float32]
Truth = NDArray[np.bool_]

TEMPERATURES = (10, 15, 20, 25, 30, 40, 60, 80, 100)
WANTED = 0.8  # precision asked of the fitting half, so that the judged half stays above 0.7
FEWEST = 20  # a precision over fewer answers than this says nothing
DRAWN = ("illustration", "icon")  # what an emoji may rightly be called
LIBRARY = 100  # pictures in a library that lacks the thing asked for
# Of the fitting queries, so that the judged ones stay above 0.9. The lowest floor that reaches it
# is taken: a description refused costs its writer more than a stray word costs that is let through.
JUDGED = 0.94


@dataclass(frozen=True)
class Set:
    """Pictures as the encoder sees them, with what is true of them."""

    pictures: Sequence[Labelled]
    rows: Rows

    def half(self, number: int) -> Set:
        """One of two halves, split by name, so that it is the same on every machine."""
        chosen = [i for i, p in enumerate(self.pictures) if _coin(p.name) == number]
        return Set([self.pictures[i] for i in chosen], self.rows[chosen])

    def truth(self) -> Truth:
        """Which word of the vocabulary is true of which picture."""
        vocabulary = load_vocabulary()
        words = [split_words(word) for word in vocabulary.words]
        truth = np.array([[word <= p.words for word in words] for p in self.pictures])
        for word, members in vocabulary.members.items():
            truth[:, word] |= truth[:, list(members)].any(axis=1)
        return truth

    def without(self, text: str) -> Rows:
        """The rows of pictures of which the text's words are not true."""
        wanted = split_words(text) - {"a", "an", "of"}
        return self.rows[[not wanted <= p.words for p in self.pictures]]


def main(arguments: list[str]) -> None:
    folders = [a for a in arguments if not a.startswith("--")]
    encoder = load_encoder(folders[0] if folders else None)
    unseen, styled = (_embedded(encoder, name) for name in ("openmoji", "noto"))
    floors = fit(encoder, unseen.half(0), styled)
    figures = judge(encoder, floors, unseen, styled)
    _print(encoder, floors, figures)
    if "--write" in arguments:
        _write(encoder, floors, figures)


def fit(encoder: Encoder, unseen: Set, styled: Set) -> Calibration:
    """The floors that the fitting halves ask for."""
    bank = word_bank(encoder)
    queries = load_queries("fit")
    temperature, tag_floor = _fit_tags(bank, unseen)
    fitted = replace(
        calibrate(encoder),
        temperature=float(temperature),
        tag_floor=tag_floor,
        kind_floor=_fit_kinds(bank, unseen, temperature),
        sense_floor=_fit_sense(encoder, queries),
        measured=True,
    )
    named = _embed(encoder, queries.match + queries.described)
    known = named[bank.sense(named) >= fitted.sense_floor]
    empty = _embed(encoder, _nonsense(queries))
    return replace(
        fitted,
        match_floor=_rounded(np.percentile((known @ unseen.rows.T).max(axis=1), 1)),
        stranger_floor=_rounded((empty @ np.vstack([unseen.rows, styled.rows]).T).max()),
    )


def judge(encoder: Encoder, floors: Calibration, unseen: Set, styled: Set) -> dict[str, float]:
    """What the floors are worth on the other halves; shares of 1 but for tags per picture."""
    return {
        **_judge_queries(encoder, floors, unseen),
        **_judge_missing(encoder, floors, styled),
        **_judge_tags(word_bank(encoder), floors, unseen.half(1)),
    }


def _fit_tags(bank: WordBank, pictures: Set) -> tuple[float, float]:
    """The temperature that gives most tags at the wanted precision, and the floor that does."""
    cosines, truth = pictures.rows @ bank.tags.T, pictures.truth()
    best = (0, 100.0, NEVER)
    for temperature in TEMPERATURES:
        given, floor = _most(tag_chances(cosines, temperature), truth)
        best = max(best, (given, float(temperature), floor))
    return best[1], best[2]


def _fit_kinds(bank: WordBank, pictures: Set, temperature: float) -> float:
    chances = softmax(pictures.rows @ bank.kinds.T, temperature)
    right = np.isin(list(load_vocabulary().kinds), DRAWN)[chances.argmax(axis=1)]
    return _most(chances.max(axis=1), right)[1]


def _most(chances: Rows, truth: Truth) -> tuple[int, float]:
    """How many answers the lowest floor of the wanted precision lets through, and that floor."""
    order = np.argsort(-chances, axis=None)
    right = np.cumsum(truth.ravel()[order]) / np.arange(1, chances.size + 1)
    last = int(np.max(np.nonzero(right >= WANTED)[0], initial=-1))
    return (0, NEVER) if last + 1 < FEWEST else (last + 1, float(chances.ravel()[order[last]]))


def _fit_sense(encoder: Encoder, queries: Queries) -> float:
    bank = word_bank(encoder)
    named = bank.sense(_embed(encoder, queries.match))
    empty = bank.sense(_embed(encoder, _nonsense(queries)))
    for floor in np.sort(np.concatenate([named, empty])):
        if np.mean([*(named >= floor), *(empty < floor)]) >= JUDGED:
            return float(floor)
    return best_floor(named, empty)


def _judge_queries(encoder: Encoder, floors: Calibration, pictures: Set) -> dict[str, float]:
    queries = load_queries("test")
    found = {
        name: _matched(encoder, floors, texts, pictures.rows)
        for name, texts in asdict(queries).items()
    }
    right = [found["match"], *(~found[name] for name in ("gibberish", "subject", "absent"))]
    return {
        "judged_rightly": float(np.concatenate(right).mean()),
        "named_found": float(found["match"].mean()),
        "described_found": float(found["described"].mean()),
        **{f"{n}_refused": float((~found[n]).mean()) for n in ("gibberish", "subject", "absent")},
    }


def _judge_missing(encoder: Encoder, floors: Calibration, pictures: Set) -> dict[str, float]:
    """Known things, asked of small libraries of a known style that hold none of them."""
    rng = np.random.default_rng(0)
    refused = []
    for text in load_queries("test").match:
        others = pictures.without(text)
        library = others[rng.choice(len(others), LIBRARY, replace=False)]
        refused.append(not _matched(encoder, floors, [text], library)[0])
    return {"missing_refused": float(np.mean(refused))}


def _judge_tags(bank: WordBank, floors: Calibration, pictures: Set) -> dict[str, float]:
    given = tag_chances(pictures.rows @ bank.tags.T, floors.temperature) >= floors.tag_floor
    truth, general = pictures.truth(), list(load_vocabulary().members)
    exact = np.delete(given, general, axis=1)
    kinds = softmax(pictures.rows @ bank.kinds.T, floors.temperature)
    return {
        "tag_precision": _share(truth[given]),
        "exact_tag_precision": _share(np.delete(truth, general, axis=1)[exact]),
        "tags_per_picture": float(given.sum() / len(given)),
        "pictures_tagged": float(given.any(axis=1).mean()),
        "pictures_with_kind": float((kinds.max(axis=1) >= floors.kind_floor).mean()),
    }


def _matched(encoder: Encoder, floors: Calibration, texts: Sequence[str], rows: Rows) -> Truth:
    """Whether the best picture reaches each text's floor."""
    vectors = _embed(encoder, texts)
    known = word_bank(encoder).sense(vectors) >= floors.sense_floor
    needed = np.where(known, floors.match_floor, floors.stranger_floor)
    reached: Truth = (vectors @ rows.T).max(axis=1) >= needed
    return reached


def _nonsense(queries: Queries) -> tuple[str, ...]:
    return queries.gibberish + queries.subject + queries.absent


def _share(values: Truth) -> float:
    return float(values.mean()) if values.size else 0.0


def _coin(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % 2


def _rounded(value: np.floating) -> float:
    return round(float(value), 3)


def _embed(encoder: Encoder, texts: Iterable[str]) -> Rows:
    return encoder.encode_texts(list(texts))


def _embedded(encoder: Encoder, name: str) -> Set:
    pictures = labelled_pictures(name)
    batches = [pictures[i : i + 64] for i in range(0, len(pictures), 64)]
    rows = [encoder.encode_images([p.image for p in batch]) for batch in batches]
    return Set(pictures, np.concatenate(rows))


def _print(encoder: Encoder, floors: Calibration, figures: Mapping[str, float]) -> None:
    rows = [[name.replace("_", " "), f"{value:.3f}"] for name, value in figures.items()]
    notes = [f"Floors: {json.dumps(asdict(floors))}"]
    print_table(f"Calibration of {encoder.name}", ["figure", "value"], rows, notes)


def _write(encoder: Encoder, floors: Calibration, figures: Mapping[str, float]) -> None:
    entry = {
        "encoder": encoder.name,
        "measured_on": date.today().isoformat(),
        **asdict(floors),
        "figures": {name: round(value, 3) for name, value in figures.items()},
    }
    path = data_folder() / "vocabulary" / "calibration.json"
    path.write_text(json.dumps({encoder.fingerprint: entry}, indent=2) + "\n", encoding="utf-8")
