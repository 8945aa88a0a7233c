"""A small generative grammar: ``{a|b|}`` is one of the ways between the bars, ``<name>`` one of the rule's ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

Rng = np.random.Generator
Rules = Mapping[str, tuple[str, ...]]
_MARKS = re.compile(r"([{}|<>])")


class _Rule(str):
    """The name of a rule inside a parsed text."""

    __slots__ = ()


# A text is a tuple of parts; a part is plain text, a rule's name, or a list of texts to choose from.
_Part = str | list["_Text"]
_Text = tuple[_Part, ...]


def say(text: str, rules: Rules, rng: Rng) -> str:
    """The text with every choice drawn. Texts of the same build draw the same numbers, so twins get the same words."""
    out: list[str] = []
    _say(_parse(text), rules, rng, out)
    return "".join(out)


def _say(text: _Text, rules: Rules, rng: Rng, out: list[str]) -> None:
    for part in text:
        if isinstance(part, list):
            _say(part[int(rng.random() * len(part))], rules, rng, out)
        elif isinstance(part, _Rule):
            ways = rules[part]
            _say(_parse(ways[int(rng.random() * len(ways))]), rules, rng, out)
        else:
            out.append(part)


@cache
def _parse(text: str) -> _Text:
    tokens = [t for t in _MARKS.split(text) if t]
    parts, rest = _sequence(tokens)
    if rest:
        raise ValueError(f"unbalanced braces: {text}")
    return parts


def _sequence(tokens: list[str]) -> tuple[_Text, list[str]]:
    parts: list[_Part] = []
    while tokens and tokens[0] not in "|}":
        if tokens[0] == "<":
            parts.append(_Rule(tokens[1]))
            tokens = tokens[3:]
        elif tokens[0] == "{":
            choice: list[_Text] = []
            while tokens[0] != "}":
                way, tokens = _sequence(tokens[1:])
                choice.append(way)
            parts.append(choice)
            tokens = tokens[1:]
        else:
            parts.append(tokens[0])
            tokens = tokens[1:]
    return tuple(parts), tokens
