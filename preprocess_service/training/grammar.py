"""One text, two sides. A rule is text with ``<symbols>``; ``{what stands in braces}`` is filler, ``[in brackets]`` detail.

Both sides come from one string, so the terse side has no word that the verbose one lacks, and keeps the order. Filler always
goes; of the detail goes what must (pairs.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random

Rule = Sequence[str] | Callable[[Random], str]
SYMBOL = re.compile(r"<([a-z_]+)>")
PIECE = re.compile(r"[{}\[\]]|[^{}\[\]]+")
KEPT, DETAIL, FILLER = 0, 1, 2
Piece = tuple[str, int, int]
"""A run of text, how it counts, and which bracket it stands in."""


def write(rule: str, rules: Mapping[str, Rule], random: Random) -> str:
    """``rule`` with every symbol replaced by one of its rules, over and over."""

    def replace(match: re.Match[str]) -> str:
        rule = rules[match[1]]
        return write(rule(random) if callable(rule) else random.choice(rule), rules, random)

    return SYMBOL.sub(replace, rule)


def pieces(text: str) -> list[Piece]:
    """The runs of a written text. A bracket within another counts as the one that goes first."""
    found: list[Piece] = []
    open_: list[tuple[int, int]] = [(KEPT, 0)]
    groups = 0
    for part in PIECE.findall(text):
        if part in "{[":
            groups += 1
            kind = FILLER if part == "{" else DETAIL
            outer = open_[-1]
            open_.append((kind, groups) if kind > outer[0] else outer)
        elif part in "}]":
            open_.pop()
        else:
            found.append((part, *open_[-1]))
    return found


def join(runs: Sequence[Piece], gone: set[int]) -> str:
    """The text of the runs whose bracket is not ``gone``, with spaces, marks, capitals and articles put right."""
    text = "".join(run for run, _, group in runs if group not in gone)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ([,.;:!?])", r"\1", text)
    text = re.sub(r"[,;:]+(?=[.!?])", "", text)
    text = re.sub(r",(?:,)+", ",", text)
    text = re.sub(r"(^|[.!?] ?)(?:[,;.!?] ?)+", r"\1", text).strip(" ,;")
    text = re.sub(r"\b([Aa])n? (?=(\w))", lambda m: m[1] + ("n " if m[2] in "aeiouAEIO" else " "), text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text)
