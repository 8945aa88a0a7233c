"""What a rewriter made of a text, told as edits of the text; and the faults that no list of lost words shows."""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher

from .core import Edit
from .summarise import lexicon
from .summarise.dangling import NEEDY
from .summarise.units import words_of

REASON = "rewritten"
SENTENCE = re.compile(r"(?<=[.!?])\s+")
BROKEN_OFF = NEEDY | lexicon.ARTICLES | lexicon.POSSESSIVES


def rewriting(text: str, shorter: str) -> list[Edit]:
    """The edits that turn ``text`` into ``shorter``, word by word, so that a receipt shows what went and what came.

    The words that both share are matched longest run first (Ratcliff and Obershelp; difflib). What stands between two matched words is
    taken from ``shorter``, so that the result is exactly that.
    """
    old, new = words_of(text), words_of(shorter)
    matcher = SequenceMatcher(None, [w.lower for w in old], [w.lower for w in new], autojunk=False)
    edits: list[Edit] = []
    at = there = 0
    for i, j, size in matcher.get_matching_blocks():
        for k in range(size):
            word, other = old[i + k], new[j + k]
            put(edits, text, at, word.start, shorter[there : other.start])
            put(edits, text, word.start, word.end, shorter[other.start : other.end])
            at, there = word.end, other.end
    put(edits, text, at, len(text), shorter[there:])
    return edits


def put(edits: list[Edit], text: str, start: int, end: int, replacement: str) -> None:
    if text[start:end] != replacement:
        edits.append(Edit(start=start, end=end, replacement=replacement, reason=REASON))


def mended(text: str, shorter: str) -> str:
    """``shorter`` without sentences that say a word more often than ``text`` does, or that break off: ``a chimney near the.``"""
    said, used = counted(text), Counter[str]()
    kept = []
    for sentence in SENTENCE.split(shorter):
        words = counted(sentence)
        whole = [word.lower for word in words_of(sentence) if not word.mark]
        stammers = any(used[stem] + count > said[stem] for stem, count in words.items() if stem in said)
        if whole and not stammers and whole[-1] not in BROKEN_OFF:
            used.update(words)
            kept.append(sentence)
    return " ".join(kept)


def counted(text: str) -> Counter[str]:
    """How often each word that carries something is said."""
    return Counter(w.stem for w in words_of(text) if not w.mark and w.lower not in lexicon.FUNCTION)
