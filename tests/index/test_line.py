"""A line of the journal says what was written, or nothing."""

from __future__ import annotations

import pytest

from index import line

SAID = {"picture": "a" * 52, "rating": 4, "note": 'she said ", "crc32": "00000000"} 🦊', "sets": {}}


def test_a_line_says_what_was_written() -> None:
    assert line.said(line.written(SAID)) == SAID


def test_no_flipped_bit_makes_it_say_something_else() -> None:
    """Where the flip is in the name of the checksum, that is one thing more that it says."""
    whole = line.written(SAID).rstrip(b"\n")
    unread = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        said = line.said(bytes(data))
        unread += not said
        assert not said or said.items() >= SAID.items() and said != SAID
    assert unread > 0.9 * 8 * len(whole)


@pytest.mark.parametrize("text", ["", "7", "[]", "{", '{"a": 1', "\xff", '{"a": 1}}'])
def test_what_is_no_object_says_nothing(text: str) -> None:
    assert line.said(text.encode("latin-1")) == {}


def test_a_line_without_a_checksum_is_taken_as_it_stands() -> None:
    assert line.said(b'{"set": "foxes", "hidden": false}') == {"set": "foxes", "hidden": False}


def test_a_number_ends_a_change() -> None:
    assert line.number_in(line.said(line.written(line.of_number(7)))) == 7
    assert line.number_in(SAID) == 0


def test_the_id_is_found_where_the_rest_is_missing() -> None:
    assert line.id_in(line.written(SAID)[:70]) == b"a" * 52
    assert line.id_in(b'{"set": "x"}') == b""
