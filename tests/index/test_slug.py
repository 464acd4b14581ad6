"""A name made of any text is one that every system takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.placing import LONGEST_SLUG, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A red fox, in the snow!", "a-red-fox-in-the-snow"),
        ("Éclair à la crème", "eclair-a-la-creme"),
        ("日本の果物", "picture"),
        ("CON", "picture-con"),
        ("lpt1", "picture-lpt1"),
        ("../../etc/passwd", "etc-passwd"),
        ("word " * 20, "-".join(["word"] * 12)),
        ("x" * 100, "x" * LONGEST_SLUG),
    ],
)
def test_words_become_a_name(text: str, name: str) -> None:
    assert slug(text) == name


@given(st.text())
def test_a_name_of_a_name_is_itself(text: str) -> None:
    assert slug(slug(text)) == slug(text)


def test_a_shorter_name_ends_with_a_whole_word() -> None:
    assert slug("a red fox in the snow", 12) == "a-red-fox-in"
