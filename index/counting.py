"""Counting: a number of things in words, one of them as well as many."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`1 picture`, `1,200 pictures`.

    many: what several are called, else `one` with an s
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
