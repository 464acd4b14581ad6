"""Prompts: the words within the language that they are written in."""

from __future__ import annotations

import time

import pytest

from index.prompt import is_plain, plain_words


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a  red fox, at 3:1 | 4", "a  red fox, at 3:1 | 4"),
        ("a (red:1.3) fox", "a red fox"),
        ("a ((red)) [fox]", "a red fox"),
        ("a [cat|dog] on a mat", "a cat dog on a mat"),
        ("a [cat:dog:0.5] and [:bird:4]", "a cat dog and bird"),
        ("a fox BREAK in snow", "a fox in snow"),
        (r"a fox \(1999\) (old:.5)", "a fox (1999) old"),
        ("a fox, <lora:ink:0.8> red", "a fox, red"),
        ("a <cat-toy> and 3 < 4", "a <cat-toy> and 3 < 4"),
        ("(never closed", "never closed"),
        ("closed) twice]", "closed twice"),
        ("UNBREAKABLE BREAKs", "UNBREAKABLE BREAKs"),
    ],
)
def test_words_are_what_is_left_without_the_signs(prompt: str, words: str) -> None:
    assert plain_words(prompt) == words
    assert plain_words(words) == words or not is_plain(words)


def test_text_of_any_size_is_read_in_one_pass() -> None:
    began = time.perf_counter()
    for sign in ("(", "[", "[a|", ":1", "\\", "BREAK ", "<lora:"):
        plain_words(sign * 200_000)
    # A reading that took quadratic time would take hours.
    assert time.perf_counter() - began < 60
