"""Captions for the world's scenes: terse, tags, sentences, and long ones with cinematic filler.

The judge's captions (benchmarks/) are written apart and never imported here.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

from generator_service.models.training.words import (
    BACKGROUND_PHRASES,
    BACKGROUND_TAGS,
    BOILERPLATE,
    COLOR_WORDS,
    DECOR,
    FILLER,
    LEAD_INS,
    MOTION_NOUNS,
    MOTION_TAGS,
    MOTION_VERBS,
    NEGATIVES,
    SHAPE_WORDS,
)
from generator_service.models.training.world import Scene

Rng = np.random.Generator
CORPUS = Path(__file__).parent / "corpus" / "en.txt"
# A filler sentence must not name anything that the picture shows.
_WORLD = re.compile(
    r"\b(red|crimson|scarlet|green|emerald|blue|navy|yellow|golden|white|snow\w*|purple|violet|black|gr[ea]y|sky|grass\w*|"
    r"lawn|field|meadow|night|circle|ball|disc|sphere|orb|ring|hoop|donut|band|loop|cross|plus|bar|column|pillar|stick|post|"
    r"left|right|up|upward\w*|down|downward\w*|ris\w+|fall\w*|still|grow\w*|closer|bigger|larger|drift\w*)\b",
    re.IGNORECASE,
)
_ARTICLES = re.compile(r"\b(a|an|the|is|it|its|which|that)\s+", re.IGNORECASE)


def caption(scene: Scene, rng: Rng) -> str:
    """One caption of the scene; which kind is drawn at random."""
    kind = rng.choice(("terse", "tags", "sentence", "two", "verbose"), p=(0.2, 0.15, 0.35, 0.15, 0.15))
    return _finish(
        {"terse": _terse, "tags": _tags, "sentence": _sentence, "two": _two}.get(kind, verbose)(scene, rng), rng
    )


def short_caption(scene: Scene, rng: Rng) -> str:
    """One caption without filler sentences."""
    kind = rng.choice(("terse", "tags", "sentence", "two"), p=(0.25, 0.2, 0.37, 0.18))
    return _finish({"terse": _terse, "tags": _tags, "sentence": _sentence}.get(kind, _two)(scene, rng), rng)


def negative(rng: Rng) -> str:
    """What stands for "nothing asked": the empty prompt or a usual negative prompt."""
    return "" if rng.random() < 0.5 else _pick(NEGATIVES, rng)


def plain_filler(rng: Rng) -> str:
    """A prompt that says nothing of the world."""
    return _pick(_corpus(), rng) if rng.random() < 0.7 else _pick(FILLER, rng)


def verbose(scene: Scene, rng: Rng) -> str:
    """The scene's facts spread over filler sentences, as prompt extenders write them."""
    core = [_two(scene, rng)] if rng.random() < 0.5 else [_sentence(scene, rng)]
    if rng.random() < 0.3:
        core.append(_again(scene, rng))
    count = int(rng.integers(2, 7))
    filler = [_pick(FILLER, rng) if rng.random() < 0.6 else _pick(_corpus(), rng) for _ in range(count)]
    before = int(rng.integers(0, count + 1)) if rng.random() < 0.5 else int(rng.integers(0, 2))
    return " ".join([*filler[:before], *core, *filler[before:]])


def _terse(s: Scene, rng: Rng) -> str:
    parts = [
        f"{_color(s, rng)} {_shape(s, rng)}",
        _pick(MOTION_TAGS[s.motion], rng),
        _pick(BACKGROUND_TAGS[s.background], rng),
    ]
    return (" " if rng.random() < 0.5 else ", ").join(parts)


def _tags(s: Scene, rng: Rng) -> str:
    parts = [
        f"{_color(s, rng)} {_shape(s, rng)}",
        _pick(MOTION_TAGS[s.motion], rng),
        _pick(BACKGROUND_TAGS[s.background], rng),
    ]
    if rng.random() < 0.5:
        parts.append(_pick(DECOR, rng))
    if rng.random() < 0.3:
        parts.insert(0, _pick(DECOR, rng))
    if rng.random() < 0.4:
        rng.shuffle(parts)
    return ", ".join(parts)


def _sentence(s: Scene, rng: Rng) -> str:
    subject = f"{_article(rng)} {_subject(s, rng)}"
    verb = _pick(MOTION_VERBS[s.motion], rng)
    place = _pick(BACKGROUND_PHRASES[s.background], rng)
    form = rng.integers(6)
    if form == 0:
        text = f"{place}, {subject} {verb}."
    elif form == 1:
        text = f"{_pick(LEAD_INS, rng)} {subject} that {verb} {place}."
    elif form == 2:
        text = f"{subject} {place} {verb}."
    elif form == 3:
        text = f"{_pick(MOTION_NOUNS[s.motion], rng)} {subject} {place}."
    else:
        lead = f"{_pick(LEAD_INS, rng)} " if rng.random() < 0.35 else ""
        text = f"{lead}{subject} {verb} {place}."
    return text[0].upper() + text[1:]


def _two(s: Scene, rng: Rng) -> str:
    subject = f"{_article(rng)} {_subject(s, rng)}"
    place = _pick(BACKGROUND_PHRASES[s.background], rng)
    pronoun = str(rng.choice(("it", f"the {_shape(s, rng)}", f"the {_color(s, rng)} {_shape(s, rng)}")))
    verb = _pick(MOTION_VERBS[s.motion], rng)
    lead = _pick(LEAD_INS, rng) + " " if rng.random() < 0.3 else ""
    first = f"{lead}{subject} {_pick(('is seen', 'appears', 'is placed', 'can be seen', 'is shown', 'takes the frame'), rng)} {place}."
    join = _pick(("", "Slowly, ", "Then ", "Throughout the clip, ", "Over time ", "During the shot, "), rng)
    return f"{first[0].upper()}{first[1:]} {join}{pronoun} {verb}."


def _again(s: Scene, rng: Rng) -> str:
    return _pick(
        (
            f"The {_color(s, rng)} of the {_shape(s, rng)} stands out {_pick(BACKGROUND_PHRASES[s.background], rng)}.",
            f"The {_shape(s, rng)} {_pick(MOTION_VERBS[s.motion], rng)} without a pause.",
            f"Everything happens {_pick(BACKGROUND_PHRASES[s.background], rng)}.",
        ),
        rng,
    )


def _subject(s: Scene, rng: Rng) -> str:
    color, shape = _color(s, rng), _shape(s, rng)
    form = rng.random()
    if form < 0.55:
        return f"{color} {shape}"
    if form < 0.85:
        return f"{_pick(BOILERPLATE, rng)} {color} {shape}"
    return f"{shape} in {color}" if form < 0.93 else f"{shape}, {color} in color,"


def _finish(text: str, rng: Rng) -> str:
    """Sometimes without small words, sometimes in another case: as people and compressors leave it."""
    if rng.random() < 0.2:
        text = _ARTICLES.sub("", text)
    if rng.random() < 0.1:
        text = text.rstrip(".")
    return text.upper() if rng.random() < 0.02 else text


@cache
def _corpus() -> tuple[str, ...]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines() if CORPUS.exists() else []
    return tuple(line for line in lines if line and not _WORLD.search(line)) or FILLER


def _pick(choices: tuple[str, ...], rng: Rng) -> str:
    return choices[int(rng.integers(len(choices)))]


def _color(s: Scene, rng: Rng) -> str:
    words = COLOR_WORDS[s.color]
    return words[0] if rng.random() < 0.8 else _pick(words, rng)


def _shape(s: Scene, rng: Rng) -> str:
    words = SHAPE_WORDS[s.shape]
    return words[0] if rng.random() < 0.35 else _pick(words, rng)


def _article(rng: Rng) -> str:
    return _pick(("a", "a", "a", "the", "one", "a single"), rng)
