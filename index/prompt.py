r"""Prompt: the language in which prompts are written, and the plain words within.

It is AUTOMATIC1111's, which half the field understands:

    text     = { word | weighted | turns | "BREAK" }
    weighted = "(" text ")"                            1.1 times as much
             | "(" text ":" number ")"                 so many times as much
             | "[" text "]"                            1 / 1.1 times as much
    turns    = "[" text "|" text { "|" text } "]"      one after another, a step each
             | "[" [text] ":" [text] ":" when "]"      the first until `when`, then the second
             | "[" text ":" when "]"                   nothing until `when`, then the text

`when` is a step, or below 1 a share of the steps. BREAK, in capitals, begins a new chunk. A
backslash takes the meaning from the bracket, the backslash or the bar after it. Brackets nest,
their weights multiply, and one that is never closed holds to the end.

What stands in angle brackets after `lora:`, `lyco:` or `hypernet:` names an addition to the model
and is no word either. Pictures are searched by the words alone; what the rest means is the business
of whoever draws. Texts of any length and from anybody are read in one pass.
"""

from __future__ import annotations

import re

NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
ADDITION = r"<(?:lora|lyco|hypernet):[^<>]{1,200}>"
_SIGN = re.compile(rf"\\[()\[\]\\|]|[()\[\]]|\bBREAK\b|{ADDITION}")
_TOKEN = re.compile(
    rf"\\(?P<escaped>[()\[\]\\|])|(?P<weight>:\s*{NUMBER}\s*[)\]])|(?P<break>\bBREAK\b|{ADDITION})"
    r"|(?P<sign>[()\[\]|:])"
)


def is_plain(prompt: str) -> bool:
    """Whether nothing in the prompt means more than its words."""
    return _SIGN.search(prompt) is None


def plain_words(prompt: str) -> str:
    """The words alone, those of all turns; a prompt that is plain already comes back as it is."""
    if is_plain(prompt):
        return prompt
    depth = 0

    def word(token: re.Match[str]) -> str:
        nonlocal depth
        text = token[0]
        depth = max(0, depth + (text == "[") - text.endswith("]") * (not token["escaped"]))
        if token["escaped"]:
            return token["escaped"]
        # outside of turns a bar and a colon are but themselves
        outside = text in ("|", ":") and not depth
        return text if outside else " " if token["break"] or text in ("|", ":") else ""

    return " ".join(_TOKEN.sub(word, prompt).split())
