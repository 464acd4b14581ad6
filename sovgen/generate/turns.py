"""Turns: what a prompt says in each step, where its parts take turns.

The grammar is in `index.prompt`. Knows nothing of weights: their brackets are left as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\\.|[()\[\]|:]|[^\\()\[\]|:]+|\\", re.DOTALL)
_WHEN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*")


@dataclass
class _Bracket:
    """A bracket that is still open: its parts, and the sign before each but the first."""

    sign: str
    parts: list[str] = field(default_factory=lambda: [""])
    signs: list[str] = field(default_factory=list)

    def written(self) -> str:
        joined = (sign + part for sign, part in zip(self.signs, self.parts[1:], strict=True))
        return self.sign + self.parts[0] + "".join(joined)


def at_step(prompt: str, step: int, steps: int) -> str:
    """The prompt of a step, 0 .. steps - 1, with every turn taken."""
    if "[" not in prompt:
        return prompt
    open_brackets = [_Bracket("")]
    for token in _TOKEN.findall(prompt):
        innermost = open_brackets[-1]
        if token in ("(", "["):
            open_brackets.append(_Bracket(token))
        elif token == {"(": ")", "[": "]"}.get(innermost.sign):
            open_brackets.pop()
            open_brackets[-1].parts[-1] += _taken(innermost, step, steps)
        elif token in ("|", ":") and innermost.sign == "[":
            innermost.signs.append(token)
            innermost.parts.append("")
        else:
            innermost.parts[-1] += token
    return "".join(bracket.written() for bracket in open_brackets)


def _taken(bracket: _Bracket, step: int, steps: int) -> str:
    """What a bracket that was just closed says in the step."""
    if "|" in bracket.signs:
        parts = _by_bar(bracket)
        return parts[step % len(parts)]
    when = _WHEN.fullmatch(bracket.parts[-1])
    if bracket.signs and when and len(bracket.parts) <= 3:
        before, after = ("", *bracket.parts[:-1])[-2:]
        turn = float(when[1]) * (steps if float(when[1]) < 1 else 1)
        return before if step < turn else after
    return bracket.written() + (")" if bracket.sign == "(" else "]")


def _by_bar(bracket: _Bracket) -> list[str]:
    """The parts between bars; a colon among them is but itself."""
    parts = [bracket.parts[0]]
    for sign, part in zip(bracket.signs, bracket.parts[1:], strict=True):
        if sign == "|":
            parts.append(part)
        else:
            parts[-1] += sign + part
    return parts
