"""Writes en.txt and zh.txt: the hand-written sentences, then sentences composed from the word lists.

    python -m generator_service.models.training.corpus.compose

Deterministic: every list is shuffled by a fixed seed and then dealt in turn, so each word is used before any is used
twice.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20
EN_SENTENCES = 1400
ZH_SENTENCES = 900


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


IRREGULAR_PLURALS = _pairs("""
man:men woman:women child:children wolf:wolves leaf:leaves mouse:mice goose:geese foot:feet tooth:teeth knife:knives
sheep:sheep deer:deer
""")
IRREGULAR_PARTICIPLES = _pairs("""
run:run swim:swum fly:flown sing:sung eat:eaten drink:drunk fall:fallen throw:thrown catch:caught write:written
draw:drawn sit:sat stand:stood hold:held sleep:slept sweep:swept rise:risen swing:swung spin:spun shake:shaken
teach:taught think:thought hide:hidden freeze:frozen wake:woken read:read build:built lead:led creep:crept
slide:slid drive:driven ride:ridden grow:grown tear:torn break:broken bend:bent burst:burst shine:shone
spread:spread shrink:shrunk weep:wept fight:fought dig:dug
""")


def read_lists(path: Path, separator: str) -> dict[str, list[str]]:
    """The sections of a list file: name -> entries, in the file's order."""
    lists: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            entries = lists.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            entries.extend(word.strip() for word in line.split(separator) if word.strip())
    return lists


class Deck:
    """Deals the entries of each list in shuffled rounds."""

    def __init__(self, lists: dict[str, list[str]], rng: random.Random) -> None:
        self._lists = lists
        self._rng = rng
        self._left: dict[str, list[str]] = {}

    def deal(self, name: str) -> str:
        if name == "num":
            return str(
                self._rng.choice((self._rng.randint(2, 12), self._rng.randint(10, 99), self._rng.randint(100, 2030)))
            )
        if not self._left.get(name):
            self._left[name] = self._rng.sample(self._lists[name], len(self._lists[name]))
        return self._left[name].pop()


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun if noun.endswith("s") else noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return IRREGULAR_PLURALS.get(noun, noun + "s")


def third_person(verb: str) -> str:
    return plural(verb) if not verb.endswith("s") else verb + "es"


def _doubles(verb: str) -> bool:
    return bool(re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb)) and len(verb) < 6


def participle(verb: str) -> str:
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + verb[-1] + "ing" if _doubles(verb) else verb + "ing"


def past(verb: str) -> str:
    if verb in IRREGULAR_PARTICIPLES:
        return IRREGULAR_PARTICIPLES[verb]
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + verb[-1] + "ed" if _doubles(verb) else verb + "ed"


def article(phrase: str) -> str:
    return ("an " if phrase[0].lower() in "aeiou" else "a ") + phrase


FORMS: dict[str, Callable[[str], str]] = {"p": plural, "s": third_person, "ing": participle, "ed": past, "a": article}


def fill(template: str, deck: Deck) -> str:
    """`{slot}`, `{slot:form}`, `{a:slot}` with its article; a capital in the slot gives a capital in the text."""

    def one(match: re.Match[str]) -> str:
        slot, _, form = match.group(1).partition(":")
        if slot in ("a", "A"):
            slot, form = form, slot
        word = deck.deal(slot.lower())
        word = FORMS[form.lower()](word) if form else word
        return word[0].upper() + word[1:] if form == "A" or slot[0].isupper() else word

    text = re.sub(r"\{([^{}]+)\}", one, template)
    return text[0].upper() + text[1:] if template.endswith(".") else text


def _composed(language: str, separator: str, seed: int, count: int) -> list[str]:
    """`count` sentences from templates_<language>.txt and lists_<language>.txt."""
    templates = (HERE / f"templates_{language}.txt").read_text("utf-8").splitlines()
    deck = Deck(read_lists(HERE / f"lists_{language}.txt", separator), random.Random(seed))
    return [fill(templates[i % len(templates)], deck) for i in range(count)]


def english() -> list[str]:
    return (HERE / "hand_en.txt").read_text("utf-8").splitlines() + _composed("en", ",", SEED, EN_SENTENCES)


def chinese() -> list[str]:
    return (HERE / "hand_zh.txt").read_text("utf-8").splitlines() + _composed("zh", " ", SEED + 1, ZH_SENTENCES)


def world(count: int) -> list[str]:
    """Sentences of the embedded model's own world; not part of en.txt, only of the vocabulary's training."""
    return _composed("world", ",", SEED + 2, count)


def lexicon() -> list[str]:
    """common_en.txt eight times and every English word of the corpus twice: these teach stems and endings."""
    common = (HERE / "common_en.txt").read_text("utf-8").split()
    seen = set(re.findall(r"[a-z]+", "\n".join(english() + world(200)).lower())) | set(common)
    words = common * 8 + sorted(seen) * 2
    return [" ".join(words[i : i + 12]) for i in range(0, len(words), 12)]


def characters() -> list[str]:
    """The lines of common_zh.txt with commas between its words."""
    return [line.replace(" ", "，") for line in (HERE / "common_zh.txt").read_text("utf-8").splitlines()]


if __name__ == "__main__":
    (HERE / "en.txt").write_text("\n".join(english()) + "\n", "utf-8")
    (HERE / "zh.txt").write_text("\n".join(chinese()) + "\n", "utf-8")
