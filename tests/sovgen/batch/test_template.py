"""Templates: what they stand for is what Dynamic Prompts makes of the same text, in its order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovgen.batch.template import parse
from sovgen.errors import BadPlan

WILDCARDS = {
    "colour": ("red", "blue", "green"),
    "animals/cat": ("a {big|small} cat",),
    "circle": ("__circle__",),
}


def prompts(text: str) -> list[str]:
    template = parse(text, lambda name: WILDCARDS[name])
    return [template.at(number) for number in range(template.count)]


# Recorded from dynamicprompts 0.31.0, CombinatorialPromptGenerator; it sorts wildcards, we do not.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {red|blue} fox", ["a red fox", "a blue fox"]),
        ("{2$$a|b|c}", ["a,b", "a,c", "b,a", "b,c", "c,a", "c,b"]),
        ("{1-2$$ and $$a|b}", ["a", "b", "a and b", "b and a"]),
        ("{a|}x", ["ax", "x"]),
        ("it's {{a|b}|c}", ["it's a", "it's b", "it's c"]),
        ("__colour__ cat", ["red cat", "blue cat", "green cat"]),
        (
            "{2$$__colour__}",
            ["red,blue", "red,green", "blue,red", "blue,green", "green,red", "green,blue"],
        ),
        ("{a|b} {c|d}", ["a c", "a d", "b c", "b d"]),
        ("__animals/cat__!", ["a big cat!", "a small cat!"]),
        ("emoji 🦊 {é|ü}", ["emoji 🦊 é", "emoji 🦊 ü"]),
        ("", [""]),
    ],
)
def test_what_a_template_stands_for(text: str, expected: Sequence[str]) -> None:
    assert prompts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a (word:1.3) [a|b] BREAK  two  spaces",
        "price $5 # no comment",
        "<lora:x:0.5> a_b__c d__e, __ and _x_",
        "a | b \\(c\\)",
    ],
)
def test_what_is_no_choice_stays_as_it_is(text: str) -> None:
    assert prompts(text) == [text]


def test_a_backslash_makes_plain_text() -> None:
    assert prompts(r"\{a\|b\} {c\|d|e} \__colour__") == [
        "{a|b} c|d __colour__",
        "{a|b} e __colour__",
    ]


@pytest.mark.parametrize(
    "text", ["a { b", "a } b", "{a|{b}", "{3$$a|b}", "{0.5::a|b}", "{2-1$$a|b}", "__circle__"]
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(BadPlan):
        prompts(text)


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), min_size=1, max_size=4)
)
def test_every_number_is_another_prompt(choices: list[list[str]]) -> None:
    text = "-".join("{" + "|".join(options) + "}" for options in choices)
    found = prompts(text)
    assert len(set(found)) == len(found)
    assert found[0] == "-".join(options[0] for options in choices)


def test_a_template_of_more_than_can_be_written_out_is_counted_at_once() -> None:
    template = parse(" ".join(["{" + "|".join("abcdefghij") + "}"] * 30), lambda name: ())
    assert template.count == 10**30
    assert template.at(10**30 - 1) == " ".join("j" * 30)
