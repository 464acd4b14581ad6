"""Captions: the sentences that ask for a picture: its name, its style, its ground.

One picture has many captions; each step of training draws one, so that a name is learned with and
without the words around it. Knows nothing of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KEYWORDS_INSTEAD = 0.12
WHITE_SAID = 0.12
FORMS = (  # probability, template
    (0.25, "{name}"),
    (0.20, "{a_name}"),
    (0.15, "{a_name}, {style}"),
    (0.15, "{name}, {style}"),
    (0.10, "{style} illustration of {a_name}"),
    (0.15, "an illustration of {a_name}"),
)
GROUND_FORMS = (
    (0.6, "{caption} on a {ground} background"),
    (0.3, "{caption}, {ground} background"),
    (0.1, "{caption} on {ground}"),
)


def with_article(name: str) -> str:
    """ "fox" -> "a fox", "owl" -> "an owl", "scissors" -> "scissors"."""
    if not name or name.endswith("s"):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def compose(
    name: str,
    keywords: Sequence[str],
    styles: Sequence[str],
    ground: str,
    rng: np.random.Generator,
) -> str:
    """One caption. `keywords` stand in for the name now and then; white is seldom said."""
    if keywords and rng.random() < KEYWORDS_INSTEAD:
        few = min(len(keywords), int(rng.integers(1, 3)))
        name = " ".join(rng.choice(list(keywords), few, replace=False))
    style = styles[int(rng.integers(len(styles)))] if styles else ""
    forms = FORMS if style else ((0.5, "{name}"), (0.5, "{a_name}"))
    caption = _one_of(forms, rng).format(name=name, a_name=with_article(name), style=style)
    if ground == "white" and rng.random() >= WHITE_SAID:
        return caption
    return _one_of(GROUND_FORMS, rng).format(caption=caption, ground=ground)


def _one_of(forms: Sequence[tuple[float, str]], rng: np.random.Generator) -> str:
    chances = np.array([p for p, _ in forms])
    return forms[int(rng.choice(len(forms), p=chances / chances.sum()))][1]
