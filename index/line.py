"""Line: one line of the journal, a JSON object that ends with the checksum of all before it.

A line without a checksum, as a person may write one, is taken as it stands. This file does not
know what lines say.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

_ABOUT = b'{"picture": "'  # how each line about a picture begins
_WRITTEN = "written"
_CHECKSUM = "crc32"
# Within a string every quote is escaped, so that this is never part of what is said.
_END = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\s*\Z')


def written(said: Mapping[str, object]) -> bytes:
    """What is said, as a line with its end."""
    plain = json.dumps(said, ensure_ascii=False).encode()
    return plain[:-1] + f', "{_CHECKSUM}": "{zlib.crc32(plain):08x}"}}\n'.encode()


def said(line: bytes) -> dict[str, Any]:
    """What a line says; nothing where it was cut short or is not what was written."""
    end = _END.search(line)
    if end and zlib.crc32(line[: end.start()] + b"}") != int(end[1], 16):
        return {}
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    if end:
        del value[_CHECKSUM]
    return value


def of_number(number: int) -> dict[str, object]:
    """What the last line of a change says: its number."""
    return {_WRITTEN: number}


def number_in(said: Mapping[str, Any]) -> int:
    """The number of a change that a line ends; 0 where it ends none."""
    found = said.get(_WRITTEN)
    return found if isinstance(found, int) else 0


def id_in(line: bytes) -> bytes:
    """The id of the picture that a line is about, also where the line was cut short."""
    return line[len(_ABOUT) :].partition(b'"')[0] if line.startswith(_ABOUT) else b""
