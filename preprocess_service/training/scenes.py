"""What is seen: rules for subjects, deeds and places. Light, camera and style lie in look.py, what is filler in filler.py."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from . import invent
from .grammar import Rule
from .look import LOOK_RULES
from .words import ANIMALS, COLOURS, DEEDS, LOOKS, MATERIALS, MOVES, PEOPLE, PLACES, THINGS, VEHICLES

NEW = 0.3
"""Share of nouns, verbs and adjectives that are rare or new."""


def listed(words: list[str], other: Rule, share: float = NEW) -> Rule:
    """One of the words, or in a share of the cases what ``other`` makes."""

    def pick(random: Random) -> str:
        if random.random() >= share:
            return random.choice(words)
        return other(random) if callable(other) else random.choice(other)

    return pick


def formed(verbs: list[str], make: Callable[[str], str]) -> Rule:
    """A verb in a form: one of ``verbs``, or a new one."""
    return lambda random: make(random.choice(verbs) if random.random() > NEW else invent.verb(random))


SCENE_RULES: dict[str, Rule] = {
    "person": listed(PEOPLE, invent.noun, 0.15),
    "animal": listed(ANIMALS, invent.noun, 0.15),
    "thing": listed(THINGS, invent.noun),
    "things": lambda random: invent.third(
        random.choice(THINGS + ANIMALS) if random.random() > NEW else invent.noun(random)
    ),
    "vehicle": listed(VEHICLES, invent.noun, 0.2),
    "place": listed(PLACES, invent.noun),
    "colour": listed(COLOURS, invent.look, 0.1),
    "material": listed(MATERIALS, invent.look, 0.2),
    "look": listed(LOOKS, invent.look),
    "name": invent.name,
    "number": invent.number,
    "quote": invent.quotation,
    "moves": formed(MOVES, invent.third),
    "moving": formed(MOVES, invent.ing),
    "does": formed(DEEDS, invent.third),
    "doing": formed(DEEDS, invent.ing),
    "done": formed(DEEDS, invent.past),
    "adverb": (
        "slowly",
        "quickly",
        "steadily",
        "carefully",
        "suddenly",
        "backwards",
        "forward",
        "upside down",
        "together",
    ),
    "being": ("<person>", "<animal>", "<person>", "<animal>", "<vehicle>", "<thing>", "<name>"),
    "who": (
        *(
            "a <look> <being>",
            "a {<praise> }<being>",
            "a <colour> <being>",
            "a <look> <colour> <being>",
            "<name>, a <look> <person>",
        ),
        *(
            "<number> <things>",
            "a {<praise>, }<look> <being>",
            "<number> <look> <things>",
            "a <being> named <name>",
            "<name>",
        ),
        *(
            "a group of <number> <things>",
            "a <being> and a <being>",
            "a <being>[ with <with>]",
            "a {<praise> }<colour> <vehicle>",
        ),
        *("a <material> <thing>", "the <name> <thing>", "a {single }<being>", "a <being> in a <colour> <thing>"),
    ),
    "with": (
        *(
            "<colour> <things>",
            "a <look> <thing>",
            "<look> <colour> hair",
            "<colour> eyes",
            "a <colour> beard",
            "<number> <things>",
        ),
        *(
            "a <material> <thing>",
            "long {flowing }<colour> fur",
            "<colour> and <colour> stripes",
            "a <thing> on the <thing>",
        ),
    ),
    "side": (
        "left",
        "right",
        "left side",
        "right side",
        "top",
        "bottom",
        "far left",
        "far right",
        "centre",
        "front",
        "back",
    ),
    "way": (
        *(
            "to the left",
            "to the right",
            "from left to right",
            "from right to left",
            "upwards",
            "downwards",
            "towards the camera",
        ),
        *(
            "away from the camera",
            "towards the <place>",
            "into the <place>",
            "around the <thing>",
            "clockwise",
            "past the <thing>",
        ),
        *(
            "through the <place>",
            "across the <place>",
            "along the <place>",
            "over the <thing>",
            "up the <thing>",
            "out of the <place>",
        ),
    ),
    "where": (
        *(
            "in a <look> <place>",
            "on a <material> <thing>",
            "in the middle of a <place>",
            "at the <place>",
            "near a <look> <thing>",
        ),
        *(
            "next to a <thing>",
            "under a <colour> <thing>",
            "in front of a <material> <place>",
            "behind the <thing>",
            "in <name>",
        ),
        *(
            "on the <side> of a <thing>",
            "in a {<praise> }<place>",
            "between a <thing> and a <thing>",
            "on top of a <thing>",
        ),
        *(
            "by the <place>",
            "inside a <look> <place>",
            "above the <place>",
            "at the <name> <place>",
            "against a <colour> <place>",
        ),
    ),
    "act": (
        *(
            "<moves> <where>",
            "{<manner> }<moves> <way>",
            "<does> a <thing> <where>",
            "is <moving> <where>",
            "is <doing> a <look> <thing>",
        ),
        *(
            "<moves> {<manner> }<way>",
            "sits <where>, <doing> a <thing>",
            "stands <where>{, <wrapped>}",
            "<does> the <thing> <adverb>",
        ),
        *(
            "<does> a <colour> <thing> with a <thing>",
            "<moves> and <moves> <where>",
            "<moves>, then <moves> <way>",
            "rests <where>",
        ),
        *(
            "{<manner> }<does> <number> <things>",
            "begins to <plain> <way>",
            "is <done> by a <look> <being>",
            "<adverb> <moves> <way>",
        ),
    ),
    "plain": lambda random: invent.verb(random),
    "hour": (
        "at dawn",
        "at dusk",
        "at night",
        "at noon",
        "at sunset",
        "at sunrise",
        "in the morning",
        "in winter",
        "in summer rain",
    ),
    "main": (
        *(
            "<who> <act>",
            "<who> <act> <hour>",
            "<who> <act>[, <trailing>]",
            "<who> <act>{, <praising>}",
            "<where>, <who> <act>",
        ),
        *(
            "{<opening> }<who> <act>",
            "{<opening> }<who> <act>",
            "{<opening> }<who> <act>[, <trailing>]",
            "{<hedge> }<who> <act>",
        ),
        *(
            "a <shot> of <who>, <moving> <where>",
            "{<opening> }<who> that <act>",
            "<style>, <who> <act>",
            "<place>, {<praise>, }<who> <act>",
        ),
    ),
    "trailing": (
        *(
            "its <thing> <moving> <way>",
            "<doing> a <thing>",
            "wearing a <colour> <thing>",
            "with <with>",
            "surrounded by <things>",
        ),
        *(
            "their <things> <moving>",
            "covered in <colour> <things>",
            "{<manner> }<moving> <way>",
            "<colour> <things> <where>",
        ),
    ),
    "more": (
        *(
            "the <ref> wears a <colour> <thing> and <material> <things>",
            "the <ref> has <with>[ and <with>]",
            "the <ref> <act>",
        ),
        *(
            "{<hedge> }the <ref> <act>",
            "{as <moment>, }the <ref> <act>",
            "its <thing> is <colour>{, <praising>}",
            "<who> <act>[, <trailing>]",
        ),
        *(
            "the <ref>'s <look> <thing> <act>",
            "they {<manner> }<act>",
            "on the <side>, <who> <act>",
            "<number> <things> <act>",
        ),
        *(
            "dressed in a <colour> <thing>, the <ref> <act>",
            "a sign reads <quote>",
            "the <thing> says <quote> in <colour> letters",
        ),
        *(
            "there is no <thing> <where>",
            "no <person> is visible",
            "the <ref> does not <plain>",
            "nobody <does> the <thing>",
        ),
        *(
            "{<tellingly>, }<who> <act>, <trailing>",
            "then <who> <act>",
            "after that, the <ref> <act>",
            "finally, the <ref> <act>",
        ),
        *(
            "the <ref> never <moves> without its <thing>",
            "{the <ref>'s every movement <speaks>, as }it <act>",
            "a <thing> labeled <quote> <act>",
        ),
        *(
            "<who> <act>{, <praising>}",
            "{<once>, }the <ref> <act>{, <praising>}",
            "the <thing> <moves>, <doing> <things> <way>",
        ),
    ),
    "ref": ("<being>",),
} | LOOK_RULES
