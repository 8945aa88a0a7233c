"""What the loss of a word would cost the viewer: the chance, 0..1, that the word belongs to the core of the prompt.

The chance is logistic in a few signals of how people write: where the word stands, how often it is said, what kind of
word it is, what opens its phrase, and whether the text tells a story or follows a camera (then later sentences count
like the first). ``LOG_ODDS`` was fitted over public pairs of a short prompt and its long rewrite by
``benchmarks/fit_values.py``; held out by core prompt, it does as well as on what it was fitted on, since no single
word is in it: only the classes of ``lexicon``.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from . import lexicon
from .log_odds import BIAS, LOG_ODDS
from .units import IS_CJK, SENTENCE_END, Chunk, Word, modifies

SPREAD = 0.52
"""Power of the chance: below 1 a text is covered more evenly, which costs short cores little and gains long ones more."""
STORY_SPREAD = 1.0
"""The same for a text that tells a story: its core never fits whole, so there the likeliest words come first."""
STORY_STEPS, STORY_CAMERA = 2, 4
"""Words of order (then, finally), or mentions of the camera, from which on a text tells a story."""
CHARACTER = 0.06
"""Value of one Chinese character, before its clause is weighed."""
COMMENT = 0.1
"""Factor for a clause that only comments: ``creating a serene atmosphere``."""
PRAISED = 0.03
"""Factor for a word of praise: wherever it stands, no picture changes with it."""
HOLLOW = lexicon.FUNCTION | lexicon.META_VERBS | lexicon.ABSTRACT | lexicon.FILLER | lexicon.LIGHT
KINDS = (
    ("style", lexicon.STYLE),
    ("camera", lexicon.CAMERA),
    ("colour", lexicon.COLOURS),
    ("direction", lexicon.DIRECTIONS),
    ("count", lexicon.COUNTS),
    ("order", lexicon.ORDER),
)
PLAIN_KINDS = (
    ("tempo", lexicon.TEMPO),
    ("abstract", lexicon.ABSTRACT),
    ("meta", lexicon.META_VERBS),
    ("light", lexicon.LIGHT),
    ("filler", lexicon.FILLER),
)
AFTER = (("article", frozenset(("a", "an"))), ("the", frozenset(("the",))), ("possessive", lexicon.POSSESSIVES))


def weigh(words: Sequence[Word], chunks: Sequence[Chunk]) -> None:
    """Fill in ``word.value``, the same for every mention of a word; function words and marks are worth nothing."""
    first: dict[str, float] = {}
    spread = STORY_SPREAD if _tells_story(words) else SPREAD
    get, phrase, base = LOG_ODDS.get, None, 0.0
    for at, shared, own in _signals(words, chunks):
        if shared is not phrase:
            phrase, base = shared, BIAS + sum([get(name, 0.0) for name in shared])
        odds = base + sum([get(name, 0.0) for name in own])
        first[words[at].stem] = words[at].value = (1 + math.exp(-odds)) ** -spread
    seen: set[str] = set()
    for chunk in chunks:
        for word in words[chunk.first : chunk.last]:
            if IS_CJK.match(word.lower):
                word.value = CHARACTER
            elif not word.mark and carries(word):
                word.value = first[word.stem]
                word.known = word.stem in seen
                seen.add(word.stem)
            if word.lower in lexicon.PRAISE:
                word.value *= PRAISED
        if _comments(words[chunk.first : chunk.last]):
            for word in words[chunk.first : chunk.last]:
                word.value *= COMMENT


def _comments(words: Sequence[Word]) -> bool:
    return words[0].lower in lexicon.META_VERBS and all(word.mark or word.lower in HOLLOW for word in words)


def carries(word: Word) -> bool:
    """Does the word name something, rather than join others?"""
    return word.lower not in lexicon.FUNCTION or word.lower in lexicon.DIRECTIONS


def signals(words: Sequence[Word], chunks: Sequence[Chunk]) -> Iterator[tuple[int, list[str]]]:
    """For the first mention of every word that carries something: its index, and the names of its signals."""
    return ((at, [*shared, *own]) for at, shared, own in _signals(words, chunks))


def _signals(words: Sequence[Word], chunks: Sequence[Chunk]) -> Iterator[tuple[int, list[str], list[str]]]:
    """The same, with what the words of a phrase share apart, always the same list for one phrase."""
    said = Counter(word.stem for word in words if not word.mark)
    text, story = _text_signals(words, said), _tells_story(words)
    seen: set[str] = set()
    for chunk in chunks:
        when = "story" if story else "later" if chunk.sentence else "first"
        shared = [
            *(f"{name} {when}" for name in text),
            f"sentence {min(chunk.sentence, 4)}{' story' * story}",
            f"place {min(chunk.place, 4)} {when}",
            f"opens {_opener(words, chunk)} {when}",
        ]
        if chunk.sentence and chunk.sentence == chunks[-1].sentence:
            shared.append("last sentence")
        for at in range(chunk.first, chunk.last):
            word = words[at]
            if word.mark or word.stem in seen or not carries(word) or IS_CJK.match(word.lower):
                continue
            seen.add(word.stem)
            names = [f"said {min(said[word.stem], 4)} {when}", f"kind {kind(word.lower, word.capital)} {when}"]
            if at and (name := _before(words[at - 1].lower)):
                names.append(f"after {name} {when}")
            names += (f"role {_role(words, chunk, at)} {when}", f"form {form(word.lower)} {when}")
            yield at, shared, names


def _text_signals(words: Sequence[Word], said: Counter[str]) -> tuple[str, ...]:
    """A text that counts its steps or follows the camera tells as much late as early."""
    size = sum(not word.mark for word in words)
    order = sum(word.lower in lexicon.ORDER for word in words)
    return f"steps {min(order, 4)}", f"camera {min(said['camera'], 4)}", f"length {min(size // 30, 6)}"


def _tells_story(words: Sequence[Word]) -> bool:
    steps = sum(word.lower in lexicon.ORDER for word in words)
    return steps >= STORY_STEPS or sum(word.lower == "camera" for word in words) >= STORY_CAMERA


@lru_cache(maxsize=32_768)
def kind(lower: str, capital: bool) -> str:
    """The class of a word."""
    if lower[0].isdigit():
        return "digit"
    for name, members in KINDS:
        if lower in members:
            return name
    if capital:
        return "name"
    for name, members in PLAIN_KINDS:
        if lower in members:
            return name
    return "adverb" if lower.endswith("ly") else "plain"


def _opener(words: Sequence[Word], chunk: Chunk) -> str:
    head = words[chunk.first].lower
    if head in lexicon.PREPOSITIONS or head in lexicon.BINDERS:
        return "preposition"
    if head in lexicon.CONNECTIVES:
        return "connective"
    if head in lexicon.META_VERBS:
        return "comment"
    if head.endswith("ing") or head in lexicon.PARTICIPLES:
        return "participle"
    before = words[chunk.first - 1] if chunk.first else None
    if before is None or before.lower in SENTENCE_END:
        return "sentence"
    return "clause" if before.mark else "other"


def _role(words: Sequence[Word], chunk: Chunk, at: int) -> str:
    """Does the word close its phrase, as the noun that the others describe does, or stand before such a word?"""
    following = words[at + 1] if at + 1 < chunk.last else None
    if following is None or following.mark or following.lower in lexicon.FUNCTION:
        return "alone" if at == chunk.first or words[at - 1].lower in lexicon.FUNCTION else "head"
    return "modifier" if modifies(words[at]) else "inside"


@lru_cache(maxsize=32_768)
def form(lower: str) -> str:
    """The ending of a word, and its length: long words are rare, and what is rare is meant."""
    size = "short" if len(lower) < 5 else "middle" if len(lower) < 8 else "long"
    ending = next((e for e in ("ing", "ed", "s") if lower.endswith(e)), "")
    return f"{size} {ending}".strip()


def _before(lower: str) -> str:
    return next((name for name, members in AFTER if lower in members), "")
