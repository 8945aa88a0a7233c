"""Pairs of a verbose prompt and its terse form, and the short ones that training begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from . import invent
from .filler import FILLER_RULES
from .grammar import DETAIL, FILLER, Rule, join, pieces, write
from .loose import content, loose
from .scenes import SCENE_RULES
from .words import WORDS

RULES: dict[str, Rule] = {**FILLER_RULES, **SCENE_RULES, "loose": loose}
LEAST, MOST = 0.6, 0.7
"""Length of the terse side as a share, of characters: about what the line asks of BART, so that a text ends where it may."""
BESIDE = ("more", "more", "around", "light", "loose", "loose", "loose")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """``terse`` has words of ``verbose`` only (but for a and an), in their order."""

    verbose: str
    terse: str


def pair(random: Random, sentences: int) -> Pair:
    """A scene of so many sentences, filler sentences between them not counted."""
    being = write("<being>", RULES, random)
    rules = {**RULES, "ref": (being.removeprefix("a "),)}
    rules["main"] = [
        rule.replace("<who> ", f"<art> {being} ") if random.random() < 0.7 else rule for rule in rules_of("main")
    ]
    rules["art"] = ("a", "a {<praise> }", "a <look>", "a <colour>", "a <look> {and <praise> }<colour>", "one", "the")
    kinds = [random.choice(("main", "main", "loose"))] + [random.choice(BESIDE) for _ in range(sentences - 1)]
    if sentences > 1 and random.random() < 0.7:
        kinds[-1] = "camera"
    lines = [write(f"<{kind}>", rules, random) + "." for kind in kinds]
    if random.random() < 0.05:
        lines = [line.lower() for line in lines]
    return sides(lines, rules, random)


def rules_of(symbol: str) -> Sequence[str]:
    """The texts that may stand for a symbol. Raises ``TypeError`` for one that is made by a function."""
    rule = RULES[symbol]
    if callable(rule):
        raise TypeError(f"{symbol} is made by a function")
    return rule


def sides(lines: list[str], rules: dict[str, Rule], random: Random) -> Pair:
    """Both sides of the lines. Detail goes from the end, down to the share; where that is too little, comment comes in."""
    share = random.uniform(LEAST, MOST)
    while True:
        runs = pieces(" ".join(lines))
        verbose = join(runs, set())
        gone = {group for _, kind, group in runs if kind == FILLER}
        detail = sorted({group for _, kind, group in runs if kind == DETAIL}, reverse=True)
        while len(terse := join(runs, gone)) > share * len(verbose) and detail and random.random() < 0.9:
            gone.add(detail.pop(0))
        if len(terse) <= (share + 0.03) * len(verbose) or random.random() < 0.08:
            return Pair(verbose=verbose, terse=terse)
        at = random.choice((random.randint(1, len(lines)), len(lines)))
        lines.insert(at, "{" + write("<comment>", rules, random) + ".}")


def words(random: Random, count: int) -> Pair:
    """A row of unrelated words, numbers and quotations, the same on both sides."""
    makers = (
        invent.word,
        invent.name,
        invent.noun,
        lambda r: r.choice(WORDS),
        content,
        content,
        content,
        invent.number,
        invent.quotation,
    )
    row = " ".join(random.choice(makers)(random) + random.choice(("", "", "", ",", ".")) for _ in range(count))
    return Pair(verbose=row, terse=row)
