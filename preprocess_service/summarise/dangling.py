"""Words that lost what they need: ``the sky filled | .``, ``captured | colors``. They go too, and what they freed is used anew.

Told by the form of the words and their neighbours, without a parser, as all of this package.
"""

from collections.abc import Iterator, Sequence

from . import lexicon
from .glue import GLUES
from .units import IS_CJK, Chunk, Word, modifies

ADVERBIAL = frozenset(("up", "down", "off", "past", "around", "outside", "inside", "above", "below", "behind", "over"))
"""Prepositions that also stand alone: ``the camera tilts up``."""
BARE = frozenset(("set", "captured", "lined", "filled", "featuring", "including", "causing", "some", "each", "every"))
NEEDY = (
    (lexicon.PREPOSITIONS - ADVERBIAL)
    | lexicon.BINDERS
    | lexicon.CONNECTIVES
    | lexicon.META_VERBS
    | lexicon.PARTICIPLES
    | lexicon.LIGHT_VERBS
    | BARE
) - lexicon.NEGATIONS
"""Words that say something only with what follows them."""


def dangling(words: Sequence[Word], chunks: Sequence[Chunk], keep: Sequence[bool]) -> Iterator[int]:
    """Kept words without what they need, and lone words that such ones leave behind, last first."""
    alive = list(keep)
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if alive[at] and not word.mark and not word.pinned and word.lower in NEEDY and not _complete(words, alive, at):
            alive[at] = False
            yield at
    for chunk in chunks:
        yield from _lone(words, keep, alive, chunk)


def _complete(words: Sequence[Word], alive: Sequence[bool], at: int) -> bool:
    """Does the next kept word follow at once, but for articles and modifiers that went?"""
    for i in range(at + 1, len(words)):
        if words[i].mark:
            # A mark that the text itself had there: nothing was lost.
            return i == at + 1
        if alive[i]:
            return True
        if not (words[i].lower in GLUES or modifies(words[i])):
            return False
    return True


def _lone(words: Sequence[Word], keep: Sequence[bool], alive: list[bool], chunk: Chunk) -> Iterator[int]:
    """The one word left of a phrase that just lost another to ``dangling``."""
    inside = [i for i in range(chunk.first, chunk.last) if alive[i] and not words[i].mark]
    lost = any(keep[i] and not alive[i] for i in range(chunk.first, chunk.last))
    if lost and len(inside) == 1 and not words[inside[0]].pinned and not IS_CJK.match(words[inside[0]].lower):
        alive[inside[0]] = False
        yield inside[0]
