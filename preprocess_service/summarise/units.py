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
STARTERS = (lexicon.PREPOSITIONS | lexicon.CONNECTIVES) - frozenset(["and", "or", "like", "to", "up", "down", "off"])
SHORTEST = 4
"""Words that a chunk has before a phrase is cut off it: ``the sky is painted | with`` would leave a stump."""
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


@dataclass(slots=True)
class Chunk:
    """``words[first:last]``. ``chain`` numbers the run of chunks that hang on each other, so drop from the right."""

    first: int
    last: int
    sentence: int
    place: int
    chain: int


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
    out: list[Word] = []
    opening = True
    for match in WORD.finditer(text):
        raw = match.group()
        lower = raw.lower()
        mark = not raw[0].isalnum()
        out.append(
            Word(
                start=match.start(),
                end=match.end(),
                lower=lower,
                stem=stem(lower),
                mark=mark,
                capital=raw[0].isupper() and not opening,
            )
        )
        opening = mark and (raw in SENTENCE_END or (opening and raw not in CLAUSE_END))
    return out


def chunks_of(words: Sequence[Word]) -> list[Chunk]:
    """Cut the words into chunks. Marks that close a clause belong to the chunk before them."""
    out: list[Chunk] = []
    first = sentence = place = chain = 0
    for i, word in enumerate(words):
        if i - first >= (1 if words[i - 1].mark else SHORTEST) and _starts_chunk(words, i):
            out.append(Chunk(first=first, last=i, sentence=sentence, place=place, chain=chain))
            first, place, chain = i, place + 1, chain + _is_free(words, i)
        if word.mark and word.lower in SENTENCE_END:
            out.append(Chunk(first=first, last=i + 1, sentence=sentence, place=place, chain=chain))
            first, sentence, place, chain = i + 1, sentence + (place > 0 or i > first), 0, chain + 1
    if first < len(words):
        out.append(Chunk(first=first, last=len(words), sentence=sentence, place=place, chain=chain))
    return out


def _is_free(words: Sequence[Word], i: int) -> bool:
    """A chunk after a mark, or one that a connective opens, makes sense without the chunk before it."""
    return words[i - 1].mark or words[i].lower in lexicon.CONNECTIVES


def _starts_chunk(words: Sequence[Word], i: int) -> bool:
    word, before = words[i], words[i - 1]
    if word.mark:
        return False
    if before.mark and before.lower in CLAUSE_END:
        return not _joins_adjectives(words, i)
    if word.lower in lexicon.STARTERS_ZH:
        return (
            before.lower + word.lower not in lexicon.BOUND_ZH
            and word.lower + words[min(i + 1, len(words) - 1)].lower not in lexicon.BOUND_ZH
        )
    if word.lower in STARTERS:
        return before.lower not in STARTERS and before.lower not in lexicon.AUXILIARIES
    if word.lower in ("and", "or"):
        return i + 1 < len(words) and (words[i + 1].lower in DETERMINERS or words[i + 1].lower.endswith("ing"))
    opens = word.lower in lexicon.PARTICIPLES or (
        word.lower.endswith("ing") and len(word.lower) > 5 and word.lower not in lexicon.NOUNS_IN_ING
    )
    return opens and not before.mark and before.lower not in lexicon.FUNCTION and not modifies(before)


def modifies(word: Word) -> bool:
    """Does the word only describe the next one?"""
    return word.lower in lexicon.FILLER or word.lower in lexicon.COLOURS or word.lower.endswith("ly")


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


def suffixes(values: Sequence[float], costs: Sequence[float]) -> list[tuple[int, float]]:
    """Order of dropping a chain from its right end: ``(first index of the group, value per token)``, cheapest first.

    Pool-adjacent-violators: a chunk that is dearer than what stands left of it can only go together with that, so both
    are pooled; what remains is increasing towards the left and can be merged with other chains by value alone.
    """
    groups: list[tuple[int, float, float]] = []
    for i, (value, cost) in enumerate(zip(values, costs, strict=True)):
        groups.append((i, value, cost))
        while len(groups) > 1 and _density(groups[-2]) <= _density(groups[-1]):
            _, right_value, right_cost = groups.pop()
            at, left_value, left_cost = groups.pop()
            groups.append((at, left_value + right_value, left_cost + right_cost))
    return [(at, _density((at, value, cost))) for at, value, cost in reversed(groups)]


def _density(group: tuple[int, float, float]) -> float:
    return group[1] / max(group[2], 0.5)
