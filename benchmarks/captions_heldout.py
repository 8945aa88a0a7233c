"""Captions that judge the embedded model. Training never imports this file, and whoever writes training captions does
not read it.

Every caption names one shape, its colour, its motion and the ground behind it, and nothing that contradicts them; so
the scorer's verdict on the video is a verdict on the caption.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

VOCABULARY = Path(__file__).resolve().parents[1] / "preprocess_service/data/embedded/spiece.model"
VERBOSE_TOKENS = 90

COLORS = ("red", "green", "blue", "yellow", "white", "purple")

# The plain noun comes first and is drawn half of the time.
SHAPES = {
    "circle": ("circle", "ball", "disc", "sphere", "orb"),
    "ring": ("ring", "hoop", "donut", "band", "loop"),
    "cross": ("cross", "plus", "plus sign"),
    "bar": ("bar", "column", "pillar", "stick", "post"),
}

# What the subject does: as a clause after "it", and below as a tag.
MOTIONS = {
    "left": ("moves left", "moves from right to left", "slides to the left", "drifts toward the left side",
             "travels from the right edge toward the left", "glides leftward", "makes its way over to the left"),
    "right": ("moves right", "moves from left to right", "slides to the right", "drifts toward the right side",
              "travels from the left edge toward the right", "glides rightward", "makes its way over to the right"),
    "up": ("moves up", "rises", "floats upward", "climbs toward the top", "travels from the bottom to the top",
           "drifts upwards"),
    "down": ("moves down", "falls", "sinks downward", "drops toward the bottom", "travels from the top to the bottom",
             "drifts downwards"),
    "still": ("stays still", "stays perfectly still", "remains motionless", "does not move at all",
              "rests in the middle", "keeps completely still"),
    "grow": ("grows", "grows larger", "swells", "comes closer to the camera", "approaches the camera",
             "gets bigger and bigger"),
}  # fmt: skip
TERSE_MOTIONS = {
    "left": ("moving left", "right to left", "sliding left", "drifting to the left"),
    "right": ("moving right", "left to right", "sliding right", "drifting to the right"),
    "up": ("moving up", "rising", "floating upward"),
    "down": ("moving down", "falling", "sinking"),
    "still": ("still", "motionless", "not moving", "standing still"),
    "grow": ("growing", "coming closer", "swelling", "getting bigger"),
}

# As a place ("... on a black background") and as a tag.
GROUNDS = {
    "black": ("on a black background", "against a black backdrop", "in front of a plain black background"),
    "white": ("on a white background", "against a white backdrop", "in front of a plain white background"),
    "grey": ("on a grey background", "against a gray backdrop", "in front of a plain gray background"),
    "sky": ("in the sky", "against the sky", "with the open sky behind it"),
    "grass": ("on the grass", "over a green lawn", "above a field of grass"),
    "night": ("at night", "against the night sky", "in the dark blue night"),
}
TERSE_GROUNDS = {
    "black": ("black background", "black backdrop"), "white": ("white background", "white backdrop"),
    "grey": ("grey background", "gray backdrop"), "sky": ("sky", "sky background"),
    "grass": ("grass", "lawn", "field of grass"), "night": ("night", "night sky"),
}  # fmt: skip

# s: "red ball", a, A: with its article, m: clause, t: motion tag, g: place, b: ground tag, f: filler, p: praise.
TERSE = ("{s} {t}, {b}", "{s}, {t}, {b}", "{b}, {s}, {t}", "{s} {g}, {t}", "{t} {s}, {b}")
TAGS = (
    "{s}, {t}, {b}, simple shapes, clean edges", "subject: {s}; motion: {t}; background: {b}",
    "{b} | {s} | {t} | minimal", "minimalist, {s}, {b}, {t}, fixed camera", "[{s}] [{t}] [{b}]",
)  # fmt: skip
SENTENCES = (
    "{A} {m} {g}.", "There is {a} {g}; it {m}.", "{G}, {a} {m}.", "We watch {a} {g}. It {m}.",
    "The {s} {m} {g} while we look on.", "Show me {a} that {m} {g}.", "{A} {g} {m}.", "In this clip {a} {m}, all of it {g}.",
)  # fmt: skip
FILLED = (
    "{f} {A} {m} {g}. {f}", "{A} {m} {g}, {p}. {f}", "{f} {G}, {a} {m}, {p}.", "{p}: {a} {m} {g}. {f} {f}",
)  # fmt: skip

# What prompt extenders add. No other colour, shape, direction, size or ground: the caption's facts stand alone.
PRAISE = (
    "cinematic lighting", "shot on 35mm film", "award-winning composition", "ultra detailed",
    "soft shadows and fine film grain", "high quality, 4k", "shallow depth of field",
    "a calm and dreamlike mood", "crisp focus and balanced exposure",
)  # fmt: skip
FILLER = (
    "The lighting is soft and even, giving the whole scene a quiet, contemplative mood.",
    "Every frame feels carefully composed, with an elegant sense of balance and restraint.",
    "Shot on vintage 35mm film stock, the image carries a fine grain and a gentle, nostalgic texture.",
    "The camera is locked off on a tripod, patient and observant, letting the moment speak for itself.",
    "The atmosphere is serene and almost meditative, inviting the viewer to linger and pay attention.",
    "Rendered in stunning detail, the sequence shows masterful craftsmanship and a refined artistic vision.",
    "A subtle interplay of light and shadow adds depth and realism to this beautifully simple moment.",
    "The pacing is unhurried and the mood poetic, recalling the finest traditions of art-house cinema.",
    "High dynamic range, crisp focus and rich tonal contrast bring out the purity of the design.",
    "It is a minimalist study of form and rhythm, timeless, hypnotic and emotionally resonant.",
    "Professional color grading lends the footage a polished, award-winning look.",
    "The edges are sharp and clean, the surfaces smooth, the overall impression one of quiet perfection.",
    "One can feel the director's delicate touch in the composition, which is both modern and classic.",
    "The scene evokes wonder and curiosity, as though one were seeing it for the first time.",
)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One caption and what its video must show, in the scorer's names."""

    text: str
    shape: str
    color: str
    motion: str
    background: str


@cache
def _counter() -> Callable[[str], int]:
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
    return lambda text: len(pieces.encode(text))


def combinations() -> list[tuple[str, str, str, str]]:
    """Every (shape, colour, motion, background) that can be seen; white on white cannot."""
    every = product(SHAPES, COLORS, MOTIONS, GROUNDS)
    return [combo for combo in every if not combo[1] == combo[3] == "white"]


def _dealt(rng: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Combinations in shuffled rounds, the rarest values first, so that any stretch of them is even."""
    drawn: Counter[tuple[int, str]] = Counter()
    left: list[tuple[str, str, str, str]] = []
    while True:
        left = left or rng.sample(combinations(), len(combinations()))
        combo = min(left[:40], key=lambda values: sum(drawn[pair] for pair in enumerate(values)))
        left.remove(combo)
        drawn.update(enumerate(combo))
        yield combo


def _words(combo: tuple[str, str, str, str], rng: random.Random) -> dict[str, str]:
    shape, color, motion, background = combo
    noun = SHAPES[shape][0] if rng.random() < 0.5 else rng.choice(SHAPES[shape])
    subject = f"{color} {noun}"
    article = rng.choice(("a", "a", "a", "one", "a single"))
    ground = rng.choice(GROUNDS[background])
    return {
        "s": subject, "a": f"{article} {subject}", "A": f"{article.capitalize()} {subject}", "g": ground,
        "G": ground[0].upper() + ground[1:].replace("behind it", "behind"), "m": rng.choice(MOTIONS[motion]),
        "t": rng.choice(TERSE_MOTIONS[motion]), "b": rng.choice(TERSE_GROUNDS[background]),
    }  # fmt: skip


def _plain(words: dict[str, str], rng: random.Random) -> str:
    kind = rng.choice((TERSE, TAGS, SENTENCES, SENTENCES, FILLED))
    template = rng.choice(kind)
    filler = iter(rng.sample(FILLER, 3))
    while "{f}" in template:
        template = template.replace("{f}", next(filler), 1)
    text = template.format(p=rng.choice(PRAISE), **words)
    return text[0].upper() + text[1:] if kind in (SENTENCES, FILLED) else text


def _verbose(words: dict[str, str], rng: random.Random, tokens: int) -> str:
    """The facts in one or two sentences somewhere among the filler, which goes on until the caption has `tokens`
    tokens."""
    facts = rng.choice(
        ("{A} {m} {g}.", "{G}, {a} {m}.", "We see {a} {g}. As the shot unfolds, it {m}.", "{A} is seen {g}; it {m}.")
    )
    sentences = [facts.format(**words)]
    for extra in rng.sample(FILLER, len(FILLER)):
        if _counter()(" ".join(sentences)) >= tokens:
            break
        # Half of the time the facts come later and later in the text.
        sentences.insert(0 if rng.random() < 0.4 else len(sentences), extra)
    return " ".join(sentences)


def captions(n: int, seed: int, min_tokens: int | None = None, *, verbose: bool = False) -> list[HeldOut]:
    """`n` captions over evenly drawn combinations; equal arguments give equal captions.

    `verbose` gives long cinematic captions of at least `min_tokens` (90 if not given) tokens of the embedded vocabulary,
    without the end mark; `min_tokens` alone does the same. Raises ValueError where the filler cannot reach that many.
    """
    rng = random.Random(seed)
    wanted = min_tokens or (VERBOSE_TOKENS if verbose else 0)
    found = []
    for combo, _ in zip(_dealt(rng), range(n), strict=False):
        words = _words(combo, rng)
        text = _verbose(words, rng, wanted) if wanted else _plain(words, rng)
        if wanted and _counter()(text) < wanted:
            raise ValueError(f"no caption reaches {wanted} tokens: the filler ends at {_counter()(text)}")
        shape, color, motion, background = combo
        found.append(HeldOut(text=text, shape=shape, color=color, motion=motion, background=background))
    return found
