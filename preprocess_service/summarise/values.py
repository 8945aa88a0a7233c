"""What the loss of a word would cost the viewer, as a chance in 0..1 that the word belongs to the core of the prompt.

The numbers are shares, rounded, over public pairs of a short prompt and its long rewrite: writers name the subject in
the first sentence (0.3 of its plain words are core, 0.03 of later ones), come back to it (a word said three times is
core in two of three cases), and put camera moves, directions, numbers and names anywhere.
"""

from collections import Counter
from collections.abc import Sequence

from . import lexicon
from .units import IS_CJK, Chunk, Word

PLAIN = (0.3, 0.048, 0.03, 0.015)
"""Chance of a plain word by its sentence: first, second, third, any later one."""
PLACE = (1.2, 0.9, 0.6, 0.5, 0.45)
"""Factor by the chunk's place in its sentence."""
SAID = (1.0, 1.0, 5.0, 9.0, 11.0)
"""Factor by how often the text says the word."""
REPEATED = 0.05
"""Factor for the second and every later mention: the first one carries the word."""
CHARACTER = 0.5
"""Factor for one Chinese character, which is about half a word."""
COMMENT = 0.2
"""Factor for a clause that only comments: ``creating a serene atmosphere``."""
HOLLOW = lexicon.FUNCTION | lexicon.META_VERBS | lexicon.ABSTRACT | lexicon.FILLER | lexicon.LIGHT


def weigh(words: Sequence[Word], chunks: Sequence[Chunk]) -> None:
    """Fill in ``word.value``."""
    said = Counter(word.stem for word in words if not word.mark)
    seen: set[str] = set()
    for chunk in chunks:
        for word in words[chunk.first : chunk.last]:
            if word.mark or (word.lower in lexicon.FUNCTION and word.lower not in lexicon.DIRECTIONS):
                continue
            value = _chance(word, chunk, said[word.stem])
            cjk = IS_CJK.match(word.lower) is not None
            word.value = value * (CHARACTER if cjk else REPEATED if word.stem in seen else 1.0)
            seen.add(word.stem)
        if _comments(words[chunk.first : chunk.last]):
            for word in words[chunk.first : chunk.last]:
                word.value *= COMMENT


def _comments(words: Sequence[Word]) -> bool:
    return words[0].lower in lexicon.META_VERBS and all(word.mark or word.lower in HOLLOW for word in words)


def _chance(word: Word, chunk: Chunk, said: int) -> float:
    later = chunk.sentence > 0
    special = _special(word, later)
    if special:
        return min(special * min(SAID[min(said, 4)], 3.0 if later else 2.0), 1.0)
    return min(_plain(word, chunk) * SAID[min(said, 4)] * PLACE[min(chunk.place, 4)], 1.0)


def _special(word: Word, later: bool) -> float:
    """What a video shows wherever it is said: numbers, names, moves of the camera, directions, colours, style."""
    lower = word.lower
    if lower[0].isdigit():
        return 0.45 if later else 0.8
    if lower in lexicon.STYLE:
        return 0.09 if later else 0.35
    if lower in lexicon.CAMERA:
        return 0.14 if later else 0.5
    if lower in lexicon.COLOURS:
        return 0.015 if later else 0.2
    if lower in lexicon.DIRECTIONS:
        return 0.26 if later else 0.7
    if lower in lexicon.COUNTS:
        return 0.02 if later else 0.5
    if word.capital:
        return 0.2 if later else 0.75
    return 0.0


def _plain(word: Word, chunk: Chunk) -> float:
    lower, later = word.lower, chunk.sentence > 0
    if lower in lexicon.TEMPO:
        return 0.08 if later else 0.3
    if lower in lexicon.FILLER:
        return 0.005 if later else 0.035
    if lower in lexicon.ABSTRACT:
        return 0.008 if later else 0.1
    if lower in lexicon.META_VERBS or lower in lexicon.LIGHT:
        return 0.005 if later else 0.05
    if lower.endswith("ly"):
        return 0.01 if later else 0.06
    return PLAIN[min(chunk.sentence, 3)]
