"""Captions for the world's scenes: terse, tags, fields, sentences, orders, and long ones with cinematic filler.

The judge's captions (benchmarks/) are written apart and never imported here.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

from generator_service.models.training.words import (
    COLOR_WORDS,
    FILLER_RULES,
    GROUND_RULES,
    MOTION_RULES,
    NEGATIVES,
    SHAPE_WORDS,
    SUBJECT_RULES,
)
from generator_service.models.training.words_format import FORMAT_RULES
from generator_service.models.training.words_grammar import Rules, say
from generator_service.models.training.world import Scene

Rng = np.random.Generator
CORPUS = Path(__file__).parent / "corpus" / "en.txt"
# A filler sentence of the corpus must not name anything that the picture shows.
_WORLD = re.compile(
    r"\b(red|crimson|scarlet|green|emerald|blue|navy|yellow|golden|white|snow\w*|purple|violet|black|gr[ea]y|sky|grass\w*|"
    r"lawn|field|meadow|night|circle|ball|disc|sphere|orb|ring|hoop|donut|band|loop|cross|plus|bar|column|pillar|stick|post|"
    r"left|right|up|upward\w*|down|downward\w*|ris\w+|fall\w*|still|grow\w*|closer|bigger|larger|drift\w*)\b",
    re.IGNORECASE,
)
# What compressors leave out: words whose loss takes no fact away ("not", "to" and "from" stay).
_SMALL = re.compile(
    r"\b(a|an|the|is|are|be|it|its|this|that|which|of|and|with|there|very|just|we|can|seen|so|as)\s+", re.IGNORECASE
)
_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|u(?!ni))(?!one\b)")
_SPOILT = re.compile(r" *,(?:\s*,)+|,(?= *[.;|])| +(?=[,.;])")
_SEPARATORS = (", ", ", ", ", ", "; ", " | ", " - ", "\n", " / ", ". ", " ", ",", " + ", " -- ", " • ")
_BRACKETS = ("[]", "[]", "()", "()", "{}", "<>", '""')


def caption(scene: Scene, rng: Rng) -> str:
    """One caption of the scene; which kind is drawn at random."""
    return verbose(scene, rng) if rng.random() < 0.15 else short_caption(scene, rng)


def short_caption(scene: Scene, rng: Rng) -> str:
    """One caption without filler sentences, or with the remains of one."""
    kind = rng.random()
    if kind < 0.36:
        text = _parts(scene, rng)
    else:
        text = _core(scene, rng)
        if kind > 0.9:
            scrap = _cut(_filler(rng), rng)
            text = f"{scrap} {text}" if rng.random() < 0.4 else f"{text} {scrap}"
    return _finish(text, rng)


def negative(rng: Rng) -> str:
    """What stands for "nothing asked": the empty prompt or a usual negative prompt."""
    return "" if rng.random() < 0.5 else _pick(NEGATIVES, rng)


def plain_filler(rng: Rng) -> str:
    """A prompt that says nothing of the world."""
    if rng.random() < 0.6:
        return _pick(_corpus(), rng)
    return " ".join(_filler(rng) for _ in range(1 + int(rng.random() * 3)))


def verbose(scene: Scene, rng: Rng) -> str:
    """The scene's facts spread over filler sentences, as prompt extenders write them."""
    core = [say("<again>", _rules(scene), rng)] if rng.random() < 0.3 else []
    if rng.random() < 0.25:
        core.insert(0, _sentence(_parts(scene, rng)))
    else:
        # The sentences of the facts may stand apart, filler between them.
        core[:0] = re.split(r"(?<=[.!?]) (?=[A-Z])", _core(scene, rng))
    count = 2 + int(rng.random() * 5)
    filler = [_filler(rng) if rng.random() < 0.8 else _pick(_corpus(), rng) for _ in range(count)]
    if rng.random() < 0.25:
        filler = [_cut(f, rng) for f in filler]
    before = int(rng.random() * (count + 1)) if rng.random() < 0.5 else int(rng.random() * 2)
    spread = rng.random() < 0.4
    texts = filler[:before]
    for at, sentence in enumerate(core):
        texts.append(sentence)
        if spread and at + 1 < len(core) and before < count:
            texts.append(filler[before])
            before += 1
    return _finish(" ".join([*texts, *filler[before:]]), rng)


def _core(scene: Scene, rng: Rng) -> str:
    """One to three sentences that state all facts and nothing else."""
    return _sentences(say("<core_text>", _rules(scene), rng))


def _parts(scene: Scene, rng: Rng) -> str:
    """The facts as tags or fields in some order, between them words of style."""
    rules = _rules(scene)
    form = rng.random()
    if form < 0.25:
        return say("<terse>", rules, rng)
    if form < 0.5:
        return _fields(rules, rng)
    parts = [say(f"<{name}>", rules, rng) for name in ("short", "tag", "groundtag")]
    parts += [say("<decor>", rules, rng) for _ in range(int(rng.random() * 4))]
    if rng.random() < 0.5:
        _shuffle(parts, rng)
    if rng.random() < 0.12:
        parts = [f"({p}:{1 + int(rng.random() * 5) / 10:.1f})" if rng.random() < 0.6 else p for p in parts]
    elif rng.random() < 0.15:
        pair = _pick(_BRACKETS, rng)
        parts = [f"{pair[0]}{p}{pair[1]}" for p in parts]
    return _pick(_SEPARATORS, rng).join(parts)


def _fields(rules: Rules, rng: Rng) -> str:
    """Key and value, as lines, in a row or as JSON; the colour sometimes under a key of its own."""
    if rng.random() < 0.6:
        pairs = [(say("<key_subject>", rules, rng), say("<short>", rules, rng))]
    else:
        pairs = [("color", say("<hue>", rules, rng)), (say("<key_shape>", rules, rng), say("<shape>", rules, rng))]
    pairs.append((say("<key_motion>", rules, rng), say("<tag>", rules, rng)))
    pairs.append((say("<key_ground>", rules, rng), say("<groundvalue>", rules, rng)))
    pairs += [(say("<key_style>", rules, rng), say("<decor>", rules, rng)) for _ in range(int(rng.random() * 3))]
    if rng.random() < 0.5:
        _shuffle(pairs, rng)
    form = rng.random()
    if form < 0.25:
        return "{" + ", ".join(f'"{k}": "{v}"' for k, v in pairs) + "}"
    if form < 0.4:
        pairs = [(k.capitalize(), v) for k, v in pairs]
    between = _pick((": ", ": ", ":", " = ", "=", " - "), rng)
    return _pick((", ", "; ", "\n", " | ", ". ", " "), rng).join(f"{k}{between}{v}" for k, v in pairs)


@cache
def _rules(scene: Scene) -> Rules:
    return {
        **FORMAT_RULES,
        **FILLER_RULES,
        **SUBJECT_RULES,
        **GROUND_RULES[scene.background],
        **MOTION_RULES[scene.motion],
        "color": (*(COLOR_WORDS[scene.color][0],) * 16, *COLOR_WORDS[scene.color]),
        "shape": (*(SHAPE_WORDS[scene.shape][0],) * 3, *SHAPE_WORDS[scene.shape]),
    }


def _filler(rng: Rng) -> str:
    return _sentence(say("<filler>", FILLER_RULES, rng))


def _cut(sentence: str, rng: Rng) -> str:
    """The head of a filler sentence, some small words gone: what a shortener leaves of it."""
    words = sentence.rstrip(".").split()
    # The head is kept, so "the camera stays still" never ends as "stays still".
    words = words[: 2 + int(rng.random() * 6)]
    text = _SMALL.sub("", " ".join(words) + " ").strip(" ,") if rng.random() < 0.6 else ""
    return (text or " ".join(words)) + _pick((".", ".", ",", ""), rng)


def _finish(text: str, rng: Rng) -> str:
    """Sometimes without small words, sometimes in another case: as people and compressors leave it."""
    text = _SPOILT.sub(lambda m: "," if m[0].count(",") > 1 else "", _VOWEL.sub(r"\1n ", text))
    dropped, bare, case = rng.random(), rng.random(), rng.random()
    if dropped < 0.12:
        text = _SMALL.sub("", text)
    elif dropped < 0.25:
        text = _SMALL.sub(lambda m: "" if rng.random() < 0.6 else m[0], text)
    if bare < 0.15:
        text = text.rstrip(".")
    if bare > 0.95:
        text = re.sub(r"[.,;]", "", text)
    if case < 0.15:
        return text.lower()
    return text.upper() if case > 0.98 else text


def _sentences(text: str) -> str:
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def _sentence(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


@cache
def _corpus() -> tuple[str, ...]:
    return tuple(x for x in CORPUS.read_text(encoding="utf-8").splitlines() if x and not _WORLD.search(x))


def _pick(choices: tuple[str, ...], rng: Rng) -> str:
    return choices[int(rng.random() * len(choices))]


def _shuffle(items: list[str] | list[tuple[str, str]], rng: Rng) -> None:
    order = rng.permutation(len(items))
    items[:] = [items[i] for i in order]
