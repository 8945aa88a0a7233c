"""Loose sentences: words of all kinds in no grammar, with joining words, commas and filler between. They teach to copy what
no scene has taught."""

from __future__ import annotations

from random import Random

from . import invent
from .common import COMMON, JOINING
from .words import ANIMALS, COLOURS, LOOKS, MATERIALS, PEOPLE, PLACES, RARE, THINGS, VEHICLES, WORDS

NOUNS = PEOPLE + ANIMALS + THINGS + VEHICLES + PLACES
LOOKING = COLOURS + LOOKS + MATERIALS


def content(random: Random) -> str:
    """A word that says something, in some form."""
    chance = random.random()
    if chance < 0.42:
        return random.choice(COMMON)
    if chance < 0.55:
        return random.choice(NOUNS)
    if chance < 0.63:
        return random.choice(LOOKING)
    if chance < 0.76:
        form = random.choice(
            (invent.third, invent.ing, invent.past, lambda w: w, lambda w: w + "'s", lambda w: w + "ly")
        )
        return form(random.choice(WORDS) if random.random() < 0.8 else invent.word(random))
    if chance < 0.8:
        return f"{random.choice(COMMON)}-{random.choice(WORDS)}"
    if chance < 0.84:
        return invent.name(random)
    if chance < 0.87:
        return invent.number(random)
    if chance < 0.88:
        return invent.quotation(random)
    return random.choice(RARE) if chance < 0.9 else invent.word(random)


def loose(random: Random) -> str:
    """6 to 28 words, with filler in braces and, seldom, a clause of detail at the end."""
    parts: list[str] = []
    for _ in range(random.randint(4, 16)):
        joining = random.random() < 0.7
        if joining:
            parts.append(random.choice(JOINING))
        if random.random() < 0.1:
            parts.append("{<praise> }" if random.random() < 0.7 else "{<praise> and <praise> }")
        parts.append(content(random))
        if random.random() < 0.25:
            parts.append(content(random))
        chance = random.random()
        if chance < 0.1:
            parts.append(",")
        elif chance < 0.15:
            parts.append("{<manner>}")
        elif chance < 0.19:
            parts.append("{, <praising>,}")
    parts[-1] += random.choice(
        (
            "",
            "",
            "{, <praising>}",
            "{, <praising>}",
            "[, <trailing>]",
            "[, " + " ".join(content(random) for _ in range(4)) + "]",
        )
    )
    opening = "{<opening> }" if random.random() < 0.12 else "{<hedge> }" if random.random() < 0.1 else ""
    return opening + " ".join(parts)
