"""Names: tags, names of sets and what else people write, as they are kept.

Knows no library.
"""

from __future__ import annotations

import unicodedata

from index.errors import BadQuery

LONGEST_NAME = 100
LONGEST_NOTE = 10_000


def normal_tag(text: str) -> str:
    """A tag as it is kept: NFC, lower case, single spaces. Raises BadQuery."""
    return unicodedata.normalize("NFC", _named(text, "tag").lower())


def normal_name(text: str, what: str = "set name") -> str:
    """A name as it is kept: NFC, single spaces. Raises BadQuery."""
    return _named(text, what)


def plain(text: str, what: str, longest: int, allowed: str = "") -> str:
    """The text in NFC, if it is one that can be kept and shown. Raises BadQuery.

    longest: in characters; allowed: control characters that it may hold
    """
    text = unicodedata.normalize("NFC", text)
    # Cc are control characters; Cs are bytes of the command line that were no text
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in allowed for c in text):
        raise BadQuery(f"A {what} cannot hold control characters: {text!a}.", "Leave them out.")
    if len(text) > longest:
        raise BadQuery(
            f"A {what} has at most {longest:,} characters; this has {len(text):,}.", "Shorten it."
        )
    return text


def _named(text: str, what: str) -> str:
    name = " ".join(plain(text, what, LONGEST_NAME).split())
    if not name:
        raise BadQuery(f"A {what} cannot be empty.", "Write at least one letter or figure.")
    return name
