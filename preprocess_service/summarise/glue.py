"""What may go without its phrase: glue (articles, copulas), a modifier before its noun, ``a sense of`` before what there
is a sense of, a subject that the text has named before, and commas that a reader does not need.

Told by the form of the words and their neighbours, without a parser: a wrong guess costs style, never a pinned word.
"""

from collections.abc import Iterator, Sequence

from . import lexicon
from .units import DETERMINERS, IS_CJK, Chunk, Word, modifies

GLUES = lexicon.ARTICLES | lexicon.POSSESSIVES | lexicon.COPULAS | lexicon.AUXILIARIES
SUBJECTS = frozenset(("it", "they", "he", "she", "we", "there", "this", "these", "those"))
OPENERS = frozenset(("as", "while", "with", "where", "and", "but", "when"))
"""Words that may go in front of a clause of its own: ``as | the camera moves, with | cracked tiles on the floor``."""


def optional(words: Sequence[Word], chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Spans of words of the chunk that may go alone, its phrase staying."""
    i = chunk.first
    while i < chunk.last:
        if walks(words, i + 1) and i + 1 < chunk.last and _may_go(words, chunk, i):
            # "As it swims": both go, or both stay.
            yield i, i + 2
            i += 2
            continue
        if (
            words[i].lower in lexicon.PRAISE
            and not words[i].pinned
            and i + 2 < chunk.last
            and words[i + 1].lower == ","
        ):
            yield i, i + 2  # "a breathtaking, | detailed shot": with its comma
            i += 2
            continue
        if end := _holder(words, chunk, i) or _light_verb(words, chunk, i):
            yield i, end
            yield from (
                (at, at + 1) for at in range(i, end) if words[at].lower in lexicon.PRAISE and not words[at].pinned
            )
            i = end
            continue
        if _may_go(words, chunk, i):
            first, last = _with_its_and(words, chunk, i)
            # A subject takes its article along: "The jumps" is no shorter way to say "The fox jumps".
            yield (
                first - (i > chunk.first and words[first - 1].lower in lexicon.ARTICLES and _names(words, chunk, i)),
                last,
            )
        i += 1


def _may_go(words: Sequence[Word], chunk: Chunk, i: int) -> bool:
    word = words[i]
    lower = word.lower
    if word.pinned or IS_CJK.match(lower):
        return False
    if word.mark:
        return lower == "," and 0 < i < len(words) - 1 and _joins_without_comma(words[i - 1], words[i + 1])
    following = words[i + 1] if i + 1 < chunk.last else None
    if lower in GLUES:
        return following is None or not (following.pinned and following.lower in lexicon.NEGATIONS)
    apart = i == 0 or words[i - 1].mark
    if lower in OPENERS:
        return i == chunk.first and apart and following is not None
    if lower in SUBJECTS:
        return following is not None and not following.mark and (apart or words[i - 1].lower in OPENERS)
    if word.capital or following is None or following.mark or lower in lexicon.FUNCTION:
        return lower.endswith("ly") and lower not in lexicon.TEMPO
    if following.lower in lexicon.FUNCTION:
        if following.lower in DETERMINERS and _only_shows(words, chunk, i):
            return True
        return lower.endswith("ly") and lower not in lexicon.TEMPO
    if _stands_before_noun(words, chunk, i) or _is_known_subject(words, chunk, i) or _only_shows(words, chunk, i):
        return True
    if not modifies(word):
        return False
    if lower.endswith("ly"):
        return lower not in lexicon.TEMPO or word.value < 0.2
    return following is not None and not following.mark and following.lower not in lexicon.FUNCTION


def walks(words: Sequence[Word], i: int) -> bool:
    """Is the word the subject of a clause that ``as`` or ``while`` opens?"""
    return 0 < i < len(words) and not words[i].pinned and words[i].lower in SUBJECTS and words[i - 1].lower in OPENERS


def _joins_without_comma(before: Word, following: Word) -> bool:
    """``pulls back | showing the house``, ``a lush | green meadow``, ``Finally | the camera``: as clear without it."""
    lower = following.lower
    if before.mark or following.mark or IS_CJK.match(lower):
        return False
    if lower in lexicon.PREPOSITIONS or lower in lexicon.PARTICIPLES or before.lower in lexicon.ORDER:
        return True
    return lower.endswith("ing") or (modifies(before) and modifies(following))


def _stands_before_noun(words: Sequence[Word], chunk: Chunk, i: int) -> bool:
    """Is the word inside a noun phrase and not its last: ``grips a | sleek black | controller, on the | canyon | floor``?"""
    at = i
    while at > chunk.first and not words[at].mark and words[at].lower not in DETERMINERS:
        at -= 1
        if words[at].lower in lexicon.FUNCTION:
            break
    opener = words[at].lower
    if at == i or words[at].mark:
        return False
    if opener in lexicon.PREPOSITIONS or opener == "of":
        return opener != "to"
    if opener not in DETERMINERS or at == chunk.first:
        return False
    before = words[at - 1]
    return not before.mark and before.lower not in lexicon.CONNECTIVES


def _is_known_subject(words: Sequence[Word], chunk: Chunk, i: int) -> bool:
    """Does a phrase open with ``the camera`` and a verb, where the text has named it before?"""
    start = chunk.first + (words[chunk.first].lower in OPENERS)
    start += start < i and words[start].lower in lexicon.ARTICLES
    following = words[i + 1].lower
    return i == start and chunk.sentence > 0 and words[i].known and following.endswith(("s", "ed"))


def _names(words: Sequence[Word], chunk: Chunk, i: int) -> bool:
    """Is the word a noun that stands before its verb, and not before another noun?"""
    followed = i + 1 < chunk.last and not words[i + 1].mark
    return followed and _is_known_subject(words, chunk, i)


def _only_shows(words: Sequence[Word], chunk: Chunk, i: int) -> bool:
    """Does a phrase open with a participle that brings in its object: ``| casting | long shadows, | showing | a house``?"""
    lower = words[i].lower
    return i == chunk.first and chunk.place > 0 and words[i - 1].mark and lower.endswith("ing")


def _holder(words: Sequence[Word], chunk: Chunk, start: int) -> int:
    """The end of ``a serene sense of``, or 0: an abstract noun that only holds what follows it."""
    i = start
    while i < chunk.last and not words[i].pinned and (words[i].lower in lexicon.ARTICLES or modifies(words[i])):
        i += 1
    held = i + 2 < chunk.last and words[i + 1].lower == "of" and not words[i].pinned and not words[i + 1].pinned
    return i + 2 if held and words[i].lower in lexicon.HOLDERS else 0


def _light_verb(words: Sequence[Word], chunk: Chunk, i: int) -> int:
    """The end of ``begins to``, or 0: the verb that follows says it all."""
    held = i + 2 < chunk.last and words[i + 1].lower == "to" and not words[i].pinned and not words[i + 1].pinned
    return i + 2 if held and words[i].lower in lexicon.LIGHT_VERBS and not words[i + 2].mark else 0


def _with_its_and(words: Sequence[Word], chunk: Chunk, i: int) -> tuple[int, int]:
    """A modifier goes with the ``and`` that ties it to the next or the last one: ``a beautiful and | stunning | ball``."""

    def tied(at: int, other: int) -> bool:
        inside = chunk.first <= min(at, other) and max(at, other) < chunk.last
        return inside and words[at].lower in ("and", "or") and not words[at].pinned and modifies(words[other])

    if tied(i + 1, i + 2):
        return i, i + 2
    return (i - 1, i + 1) if tied(i - 1, i - 2) else (i, i + 1)
