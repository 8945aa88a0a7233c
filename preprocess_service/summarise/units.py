"""Words, chunks and sentences: the pieces that the extractive summariser weighs and drops.

A *chunk* is the smallest run that can go without breaking the grammar of the rest: a clause, a prepositional phrase, a
participle with its object. It is found by its first word and by punctuation, without a parser. In Chinese a word is one
character and a chunk is what stands between two marks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon

CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{CJK}]|[^\W\d_{CJK}]+(?:['’\-][^\W\d_{CJK}]+)*|\d+(?:[.,:/]\d+)*[^\W_{CJK}]{{0,20}}|[^\w\s]|_+")
IS_CJK = re.compile(rf"[{CJK}]")
SENTENCE_END = frozenset(".!?;…。！？；")
CLAUSE_END = frozenset(",:–—()[]，：（）、")
CLAUSE_END_ZH = frozenset(",:，：–—")
STARTERS = (lexicon.PREPOSITIONS | lexicon.CONNECTIVES | lexicon.BINDERS) - frozenset(
    ["and", "or", "like", "to", "up", "down", "off"]
)
PARTICLES = frozenset(("in", "out", "across", "over", "around", "through"))
"""Prepositions that belong to a move of the camera: ``zooms in``."""
LONGEST = 64
"""Words after which a chunk ends wherever it is: no phrase is so long, and what is weighed as one must stay cheap to weigh."""
HANGING = frozenset(("that", "which", "who", "whose", "whom"))
SHORTEST = 2
"""Words that a chunk has before a phrase is cut off it: ``the sky is painted | with`` would leave a stump."""
STUMP, STUMP_ZH = 3, 4
"""Words and marks that a chunk before a mark has: ``Next, he dives`` and ``最后，镜头拉远`` stay one."""
DETERMINERS = (
    lexicon.ARTICLES | lexicon.POSSESSIVES | lexicon.COUNTS | frozenset(("one", "another", "it", "this", "these"))
)


@dataclass(slots=True)
class Word:
    """One word or mark: ``text[start:end]``. ``cost`` in tokens, ``value`` in what its loss would cost the viewer."""

    start: int
    end: int
    lower: str
    stem: str
    mark: bool
    capital: bool
    cost: int = 0
    value: float = 0.0
    pinned: bool = False
    known: bool = False
    """The text has said it before."""


@dataclass(slots=True)
class Chunk:
    """``words[first:last]`` in its sentence; ``place`` counts the chunks of the sentence.

    ``hangs``: it makes no sense without the chunk before it (``that seemed to dance``).
    """

    first: int
    last: int
    sentence: int
    place: int
    hangs: bool = False


@lru_cache(maxsize=32_768)
def stem(word: str) -> str:
    """Enough to see that dog/dogs, walk/walks/walked/walking and glass/glasses are the same thing."""
    if word.endswith(("'s", "’s")):
        word = word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for suffix in ("ing", "ed"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            return word.removesuffix("e")
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 4 and word.endswith("ly"):
        word = word[:-2]
    return word.removesuffix("e") if len(word) > 3 else word


def words_of(text: str) -> list[Word]:
    """The text's words and marks, in order. ``capital`` is a capital letter that does not open a sentence."""
    return [Word(*parts) for parts in _parsed(text)]


@lru_cache(maxsize=8)
def _parsed(text: str) -> tuple[tuple[int, int, str, str, bool, bool], ...]:
    """Start, end, lower, stem, mark and capital of every word: asked by the compressor and by fidelity, of the same texts."""
    out = []
    opening = True
    for match in WORD.finditer(text):
        raw = match.group()
        lower = raw.lower()
        mark = not raw[0].isalnum()
        out.append((match.start(), match.end(), lower, stem(lower), mark, raw[0].isupper() and not opening))
        opening = mark and (raw in SENTENCE_END or (opening and raw not in CLAUSE_END))
    return tuple(out)


def chunks_of(words: Sequence[Word], *, fine: bool = False) -> list[Chunk]:
    """Cut the words into chunks. Marks that close a clause belong to the chunk before them.

    Chinese is cut between clauses; ``fine`` also cuts inside them, at the characters that open a phrase.
    """
    out: list[Chunk] = []
    first = sentence = place = 0

    def close(last: int) -> None:
        hangs = place > 0 and words[first].lower in HANGING
        out.append(Chunk(first=first, last=last, sentence=sentence, place=place, hangs=hangs))

    for i, word in enumerate(words):
        shortest = SHORTEST if not words[i - 1].mark else STUMP_ZH if IS_CJK.match(words[first].lower) else STUMP
        if i - first >= LONGEST or (i - first >= shortest and _starts_chunk(words, i, fine)):
            close(i)
            first, place = i, place + 1
        if word.mark and word.lower in SENTENCE_END:
            close(i + 1)
            first, sentence, place = i + 1, sentence + (place > 0 or i > first), 0
    if first < len(words):
        close(len(words))
    return out


def _starts_chunk(words: Sequence[Word], i: int, fine: bool) -> bool:
    word, before = words[i], words[i - 1]
    if word.mark:
        return False
    if before.mark and before.lower in CLAUSE_END:
        return (
            before.lower in CLAUSE_END_ZH if IS_CJK.match(word.lower) and not fine else not _joins_adjectives(words, i)
        )
    if word.lower in lexicon.STARTERS_ZH:
        return (
            fine
            and before.lower + word.lower not in lexicon.BOUND_ZH
            and word.lower + words[min(i + 1, len(words) - 1)].lower not in lexicon.BOUND_ZH
        )
    if word.lower in PARTICLES and before.lower in lexicon.CAMERA:
        return False
    if word.lower == "of" and before.lower in lexicon.HOLDERS:
        return False
    if word.lower in STARTERS:
        return before.lower not in STARTERS and before.lower not in lexicon.AUXILIARIES
    if word.lower in ("and", "or"):
        following = words[i + 1] if i + 1 < len(words) else None
        return following is not None and not following.mark and not modifies(before) and following.lower not in STARTERS
    opens = word.lower in lexicon.PARTICIPLES or (
        word.lower.endswith("ing") and len(word.lower) > 5 and word.lower not in lexicon.NOUNS_IN_ING
    )
    return opens and not before.mark and before.lower not in lexicon.FUNCTION and not modifies(before)


@lru_cache(maxsize=32_768)
def is_modifier(lower: str) -> bool:
    """Does the word, as far as its form tells, only describe the next one?"""
    if lower in lexicon.FILLER or lower in lexicon.COLOURS or lower in lexicon.ADJECTIVES or lower.endswith("ly"):
        return True
    return lower.endswith(lexicon.ADJECTIVE_ENDINGS) and len(lower) > 5 and lower not in lexicon.NOT_ADJECTIVES


def modifies(word: Word) -> bool:
    return is_modifier(word.lower)


def _joins_adjectives(words: Sequence[Word], i: int) -> bool:
    """In ``plush, cream-colored couch`` the comma separates two adjectives, not two clauses."""
    return i >= 2 and words[i - 1].lower == "," and modifies(words[i - 2])


def spread_costs(words: Sequence[Word], tokens: Sequence[tuple[int, int]]) -> None:
    """Charge every token to the word that its first code point falls in (or the next one)."""
    if not words:
        return
    at = 0
    for start, _ in tokens:
        while at + 1 < len(words) and words[at].end <= start:
            at += 1
        words[at].cost += 1
