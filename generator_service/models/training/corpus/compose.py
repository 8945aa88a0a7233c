"""Writes en.txt and zh.txt: the hand-written sentences, then sentences composed from the word lists.

    python -m generator_service.models.training.corpus.compose

Deterministic: every list is shuffled once by a fixed seed and then dealt in turn, so each word is used before any is used twice.
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

EN_TEMPLATES = """
{a:person} {verb:s} {adverb} in {a:quality} {place} while {a:animal} {verb:s} beside {a:object}.
{A:quality} {animal} {verb:s} across the {place}, {verb:ing} under {light}.
{camera} of {a:color} {vehicle} {verb:ing} through {a:quality} {place}, {weather} in the air.
{A:person} in {a:color} {wear} and {wear:p} {verb:s} {a:object}, then {verb:s} {adverb} toward the {place}.
{style} style: {a:quality} {animal} with {a:color} {body} and {quality} {body:p}, {verb:ing} near {named}.
The {quality} {object} is made of {material} and {material}; it {verb:s} {adverb} and {verb:s} again.
The camera {verb:s} past {object:p} and {object:p}, revealing {a:quality} {place} in {named}.
{A:quality} bowl of {food} and {food} on {a:color} {material} table, {food:p} and {food} behind it, {camera}.
{camera}, {style}, {light}, {weather}, a sense of {mood} and {mood}
The {plant:p} {verb} as {weather} and {weather} pass over the {place}; {quality} {plant:p} cover the ground.
At the {event}, {num} {person:p} {verb} {adverb} and {a:quality} {person} {verb:s} with {a:object}.
{num} {animal:p} {verb} {adverb} around {a:quality} {plant}, their {body:p} {color} in the {light}.
A time-lapse of {science} and {science}: {a:color} {object} {verb:s}, {verb:s} and finally {verb:s} on {material}.
Is the {animal} {verb:ing}? No, it has {verb:ed} and now the {person} {verb:s} {adverb}.
"{Verb}, {verb}, don't {verb}!" says the {person} to the {quality} {person}, who {verb:ed} {adverb}.
There are no {object:p}, no {animal:p} and no {person:p} in this {quality} {place}, only {weather} and {mood}.
The atmosphere is full of {mood}, {mood} and {mood}, with {color} and {color} tones and {quality} details.
The scene captures {a:quality} {person} {verb:ing} {a:quality} {object}, highlighting the {quality} {material} and the {light}.
Suddenly the {vehicle} {verb:s}, the {person:p} {verb}, and {a:quality} {animal} {verb:s} out of the {place}.
As the {person} {verb:s}, {a:color} {wear} {verb:s} in the wind and the {quality} {body} {verb:s} {adverb}.
A {style} of {named}, {quality} and {quality}, {camera}, {light}.
avoid: {negative}, {negative}, {negative}, {negative}, {negative}
{quality}, {quality}, {quality} {place}, {color} {plant:p}, {camera}, {style}, {num}k
Inside the {place}, {a:quality} {person} has {verb:ed} {a:quality} {food} and is {verb:ing} {a:color} {object} with one {body}.
First, {a:animal} {verb:s} from left to right; next, it {verb:s} {adverb}; in the end, the {camera} shows {a:quality} {plant}.
Their {quality} {wear:p} and {quality} {body:p} suggest {mood}, creating an atmosphere of {mood}.
Video of {a:material} {object} {verb:ing} in slow motion against {a:color} background, {light}, {style}.
It's {num}:{num} in {named}: {weather}, {weather}, and {a:vehicle} that {verb:s} {adverb} down the {place}.
""".strip().splitlines()

ZH_TEMPLATES = """
{形容}{人物}在{地点}里{副词}{动作}，旁边有一只{形容}{动物}。
一只{颜色}的{动物}{副词}穿过{地点}，{光线}洒在它的{部位}上。
{镜头}：{颜色}的{交通}驶过{地点}，{天气}，{氛围}的感觉。
{人物}穿着{颜色}的{衣着}，拿着{物件}，{副词}{动作}，然后{动作}。
{风格}风格，{形容}{动物}正在{动作}，背景是{地名}的{地点}。
{材质}做成的{物件}{副词}{动作}，{光线}，{镜头}。
桌上摆着{食物}、{食物}和{形容}{食物}，旁边是{颜色}的{物件}，{镜头}。
{天气}中，{植物}和{植物}在{地点}旁边轻轻摇动，画面充满{氛围}与{氛围}。
{节日}那天，{num}位{人物}聚在{地点}，有人{动作}，有人{动作}。
实验室里，{科学}和{科学}发生变化，{颜色}的{科学}开始{动作}。
没有{物件}，也没有{人物}，只有{天气}和{形容}{地点}。
“不要{动作}！”{人物}对{人物}说，“快去{动作}吧。”
{人物}的{部位}上露出{氛围}的神情，{部位}微微颤动，{光线}从侧面照来。
{num}只{动物}围着{形容}{植物}{动作}，{镜头}，{风格}。
一个{颜色}的{形状}从左向右移动，另一个{颜色}的{形状}静止不动，背景是{颜色}。
画面展示了{地名}的{地点}，{形容}{物件}与{形容}{植物}相映成趣。
突然，{交通}停在{地点}门口，{人物}走下来，手里抱着{形容}{动物}。
{负面}，{负面}，{负面}，{负面}，{负面}
""".strip().splitlines()

WORLD_EN = {
    "color": "red green blue yellow white purple",
    "shape": "circle ball disc sphere orb ring hoop donut band loop cross plus bar column pillar stick post square box triangle star",
    "motion": "moves|moving|drifts|drifting|slides|sliding|glides|gliding|floats|floating|travels|goes|rolls|shifts|heads",
    "way": "left|right|up|down|to the left|to the right|upward|downward|upwards|downwards|leftward|rightward|toward the left"
    "|towards the right|from left to right|from right to left|from bottom to top|from the right edge to the left edge",
    "state": "stays still|stands still|rests motionless|is stationary|does not move|remains perfectly still|hangs still|grows"
    "|is growing|grows larger|gets bigger|swells|expands|comes closer|is coming closer|approaches the camera|rises|is rising"
    "|ascends|climbs|sinks|is falling|falls|descends|drops|is sinking|is climbing|is descending|is ascending|is swelling|is expanding"
    "|is approaching|comes nearer|is shifting|keeps its place|waits|holds still|is dropping|slips|is slipping|gets closer|soars"
    "|is soaring|is climbing|rises slowly|becomes larger|gets nearer|keeps growing|zooms in|is frozen in place|stand|stays put",
    "ground": "black background|white background|grey background|gray background|blue sky|sky|green grass|grass|grassy field"
    "|green field|lawn|meadow|night|dark blue night|night sky|black backdrop|white backdrop|grey backdrop|plain gray wall|dark sky|starry night|midnight sky|plain background|daytime sky",
}
WORLD_EN_TEMPLATES = """
a {color} {shape} {motion} {way} on a {ground}
{color} {shape}, {motion} {way}, {ground}
{color} {shape} {state}, {ground}
A {color} {shape} {state} in front of the {ground}.
A video of one {color} {shape} that {state} over a {ground}, plus sign, upright, cinematic.
The {color} {shape} {motion} {way} against a {ground}; {color} {shape}s {state}.
""".strip().splitlines()


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
    irregular = {
        "man": "men",
        "woman": "women",
        "child": "children",
        "wolf": "wolves",
        "leaf": "leaves",
        "mouse": "mice",
        "goose": "geese",
        "foot": "feet",
        "tooth": "teeth",
        "knife": "knives",
        "sheep": "sheep",
        "deer": "deer",
    }
    return irregular.get(noun, noun + "s")


def third_person(verb: str) -> str:
    return plural(verb) if not verb.endswith("s") else verb + "es"


def _doubles(verb: str) -> bool:
    return bool(re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb)) and len(verb) < 6


def participle(verb: str) -> str:
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + verb[-1] + "ing" if _doubles(verb) else verb + "ing"


def past(verb: str) -> str:
    irregular = {
        "run": "run",
        "swim": "swum",
        "fly": "flown",
        "sing": "sung",
        "eat": "eaten",
        "drink": "drunk",
        "fall": "fallen",
        "throw": "thrown",
        "catch": "caught",
        "write": "written",
        "draw": "drawn",
        "sit": "sat",
        "stand": "stood",
        "hold": "held",
        "sleep": "slept",
        "sweep": "swept",
        "rise": "risen",
        "swing": "swung",
        "spin": "spun",
        "shake": "shaken",
        "teach": "taught",
        "think": "thought",
        "hide": "hidden",
        "freeze": "frozen",
        "wake": "woken",
        "read": "read",
        "build": "built",
        "lead": "led",
        "creep": "crept",
        "slide": "slid",
        "drive": "driven",
        "ride": "ridden",
        "grow": "grown",
        "tear": "torn",
        "break": "broken",
        "bend": "bent",
        "burst": "burst",
        "shine": "shone",
        "spread": "spread",
        "shrink": "shrunk",
        "weep": "wept",
        "fight": "fought",
        "dig": "dug",
    }
    if verb in irregular:
        return irregular[verb]
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
        word = deck.deal(slot if slot in ("num",) else slot.lower())
        word = FORMS[form.lower()](word) if form else word
        return word[0].upper() + word[1:] if form == "A" or slot[0].isupper() else word

    text = re.sub(r"\{([^{}]+)\}", one, template)
    return text[0].upper() + text[1:] if template.endswith(".") else text


def english() -> list[str]:
    rng = random.Random(SEED)
    deck = Deck(read_lists(HERE / "lists_en.txt", ","), rng)
    composed = [fill(EN_TEMPLATES[i % len(EN_TEMPLATES)], deck) for i in range(EN_SENTENCES)]
    return (HERE / "hand_en.txt").read_text("utf-8").splitlines() + composed


def chinese() -> list[str]:
    deck = Deck(read_lists(HERE / "lists_zh.txt", " "), random.Random(SEED + 1))
    composed = [fill(ZH_TEMPLATES[i % len(ZH_TEMPLATES)], deck) for i in range(ZH_SENTENCES)]
    return (HERE / "hand_zh.txt").read_text("utf-8").splitlines() + composed


def lexicon() -> list[str]:
    """common_en.txt eight times, and every English word of the corpus twice: from these the vocabulary learns stems and endings."""
    common = (HERE / "common_en.txt").read_text("utf-8").split()
    seen = set(re.findall(r"[a-z]+", "\n".join(english() + world(200)).lower())) | set(common)
    words = common * 8 + sorted(seen) * 2
    return [" ".join(words[i : i + 12]) for i in range(0, len(words), 12)]


def characters() -> list[str]:
    """The lines of common_zh.txt without the spaces between its words."""
    return [line.replace(" ", "，") for line in (HERE / "common_zh.txt").read_text("utf-8").splitlines()]


def world(count: int) -> list[str]:
    """Sentences of the embedded model's own world; not part of en.txt, only of the vocabulary's training."""
    lists = {name: words.split("|") if "|" in words else words.split() for name, words in WORLD_EN.items()}
    deck = Deck(lists, random.Random(SEED + 2))
    return [fill(WORLD_EN_TEMPLATES[i % len(WORLD_EN_TEMPLATES)], deck) for i in range(count)]


if __name__ == "__main__":
    (HERE / "en.txt").write_text("\n".join(english()) + "\n", "utf-8")
    (HERE / "zh.txt").write_text("\n".join(chinese()) + "\n", "utf-8")
