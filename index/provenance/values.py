"""Values out of other programs' files, made safe to keep.

Each function takes anything at all and answers a value of its kind, or None. Text is free of NUL
and of lone surrogates, so that any database takes it; numbers are finite and fit 64 bits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

MAX_DEPTH = 20
_WHOLE = re.compile(r"[+-]?\d{1,20}")


def text(value: object) -> str | None:
    """The text, or None when it is not text."""
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def filled(value: object) -> str | None:
    """The text, or None when it is not text or is empty."""
    return text(value) or None


def whole(value: object) -> int | None:
    """A whole number of at most 64 bits, also out of text such as `20`; else None."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def count(value: object) -> int | None:
    """A whole number from 0 to 2**31 - 1: steps, sides; else None."""
    number = whole(value)
    return number if number is not None and 0 <= number < 2**31 else None


def number(value: object) -> float | None:
    """A finite number, also out of text such as `7.5`; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def seconds(value: object) -> float | None:
    """A duration, also out of text such as `4.84 sec`; else None."""
    if isinstance(value, str):
        value = value.removesuffix("sec").removesuffix("s").strip()
    found = number(value)
    return found if found is not None and found >= 0 else None


def typed(value: object, kind: str) -> object:
    """A value for a column of that DuckDB type; else None. Lists become tuples of text."""
    if kind == "VARCHAR[]":
        return tuple(t for v in rows(value) if (t := filled(v))) or None
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else None
    reader = {"INTEGER": count, "UBIGINT": _unsigned, "DOUBLE": number, "VARCHAR": filled}[kind]
    return reader(value)


def _unsigned(value: object) -> int | None:
    found = whole(value)
    return found if found is not None and found >= 0 else None


def parse(written: str | None) -> object:
    """JSON as Python values; None when it is no JSON. NaN and Infinity are read as floats."""
    try:
        return json.loads(written) if written else None
    except (ValueError, RecursionError):
        return None


def table(value: object) -> Mapping[str, object]:
    """The mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[object]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def plain(value: object, depth: int = 0) -> object:
    """The value as JSON can carry it everywhere; what cannot be carried becomes None."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {text(str(k)): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return whole(value) if whole(value) is not None else str(value)[:40]
    if isinstance(value, float):
        return number(value)
    return text(value)


def rest(values: Mapping[str, object], known: frozenset[str]) -> dict[str, object]:
    """Everything but the known keys and the empty values, as plain JSON values."""
    kept = {text(k) or "": plain(v) for k, v in values.items() if k not in known}
    return {k: v for k, v in kept.items() if v not in (None, "", [], {})}
