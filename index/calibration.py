"""Calibration: where an encoder's numbers begin to mean something.

Cosines of different encoders cannot be compared, so that every floor belongs to one fingerprint.
Those of the bundled encoder were measured on labelled pictures (`python -m tests.benchmarks
calibration`) and lie in data/vocabulary/calibration.json; any other encoder is calibrated from
texts alone, once, and the result is kept in the user's cache folder. Knows no library.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from index.atomic import write_atomically
from index.bundled import data_folder
from index.errors import LibraryError
from index.hashes import cache_folder
from index.vocabulary import load_queries, vocabulary_digest
from index.wordbank import word_bank

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from index.encoder import Encoder

NEVER = 2.0  # a floor that no cosine and no probability reaches


@dataclass(frozen=True)
class Calibration:
    """The floors of one encoder.

    temperature: multiplies cosines before the softmax over words
    tag_floor, kind_floor: probability under which a tag or kind is not given
    sense_floor: under it a query names nothing that the encoder knows a picture of
    match_floor: cosine under which a picture does not match a query that makes sense
    stranger_floor: the same for a query under the sense floor
    measured: on labelled pictures, or from texts alone
    """

    temperature: float
    tag_floor: float
    kind_floor: float
    sense_floor: float
    match_floor: float
    stranger_floor: float
    measured: bool


def calibration_of(encoder: Encoder) -> Calibration:
    """The floors of this encoder: measured, remembered, or found now from texts."""
    measured = _measured().get(encoder.fingerprint)
    if measured is not None:
        return measured
    name = f"{encoder.fingerprint[:16]}-{vocabulary_digest()[:16]}.json"
    path = cache_folder() / "calibrations" / name
    return _recall(path) or _calibrate_and_keep(encoder, path)


def calibrate(encoder: Encoder) -> Calibration:
    """Floors from texts alone: which queries make sense is found, the rest is cautious custom.

    100 is the scale that CLIP training ends at. Without labelled pictures no cosine can be told
    to be too low, so that any picture may match a query that makes sense.
    """
    queries = load_queries("fit")
    bank = word_bank(encoder)
    named = bank.sense(encoder.encode_texts(queries.match + queries.described))
    empty = bank.sense(encoder.encode_texts(queries.gibberish + queries.subject))
    return Calibration(
        temperature=100.0,
        tag_floor=0.5,
        kind_floor=0.7,
        sense_floor=best_floor(named, empty),
        match_floor=-1.0,
        stranger_floor=NEVER,
        measured=False,
    )


def best_floor(above: NDArray[np.floating], below: NDArray[np.floating]) -> float:
    """The floor that judges most values rightly, midway in the gap that it falls into.

    above, below: values that should reach the floor, and that should not
    """
    values = np.concatenate([above, below]).astype(np.float64)
    order = np.argsort(values, kind="stable")
    right = len(above) + np.cumsum(np.where(order < len(above), -1, 1))
    best = int(np.argmax(right))
    upper = order[min(best + 1, len(values) - 1)]
    return float((values[order[best]] + values[upper]) / 2)


@cache
def _measured() -> dict[str, Calibration]:
    path = data_folder() / "vocabulary" / "calibration.json"
    if not path.is_file():
        return {}
    table = json.loads(path.read_bytes())
    return {fingerprint: _floors(entry) for fingerprint, entry in table.items()}


def _floors(entry: dict[str, object]) -> Calibration:
    return Calibration(**{f.name: entry[f.name] for f in fields(Calibration)})  # type: ignore[arg-type]


def _recall(path: Path) -> Calibration | None:
    try:
        return _floors(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _calibrate_and_keep(encoder: Encoder, path: Path) -> Calibration:
    calibration = calibrate(encoder)
    with contextlib.suppress(OSError, LibraryError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(calibration)).encode())
    return calibration
