"""Does a text look like a prompt at all? Judges the raw text and what ``clean`` took out, before any costly work.

Every signal is a number with a limit; its severity is 0 up to the limit and 1 at twice the limit. The score is the
highest severity, the verdict follows from it and the policy. The limits stand well outside of what real prompts show
(tests/preprocess_service/test_screen.py measures that), so a flag means something.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence

from .core import Change, Screening, Signal

STAGE = "screen"
POLICIES = ("observe", "flag", "reject")
"""``observe`` only writes the signals down, ``flag`` also warns, ``reject`` refuses from ``REJECT_FROM`` on."""
FLAG_FROM, REJECT_FROM = 0.25, 0.6
SHORTEST = 40
"""Code points below which shares and ratios say nothing."""
WORD = re.compile(r"[^\W\d_]+")
RUN = re.compile(r"(\S)\1{9,}")
LATIN_WORD = re.compile(r"[A-Za-z]{4,}")
VOWEL = re.compile(r"[aeiouyAEIOUY]")
CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}", re.IGNORECASE)
HIDING = ("invisible character", "control character", "tokenizer mark", "nested markup")
LOOK_ALIKES = frozenset(("LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN"))
LIMITS = {
    "repetition": 0.35,
    "compressibility": 3.2,
    "tokens_per_character": 0.8,
    "gibberish": 0.25,
    "mixed_scripts": 0.02,
    "invisible_characters": 0.02,
    "token_stuffing": 0.25,
}
"""``repetition``: share of word triples said before. ``compressibility``: characters a byte of zlib. ``tokens_per_character``:
tokens a character (half for Chinese and its kin, which byte-level tokenizers split). ``gibberish``: share of Latin words
that cannot be spoken. ``mixed_scripts``: share of words that mix look-alike alphabets. ``invisible_characters``: share of
characters that nobody sees. ``token_stuffing``: share of the text in runs of one character or one word."""


def screen(raw: str, removed: Sequence[Change], tokens: int, *, policy: str = "observe") -> Screening:
    """Judge ``raw``, of which ``clean`` took ``removed`` out, and which counts ``tokens``. Never raises."""
    values = measure(raw, removed, tokens)
    signals = tuple(
        Signal(name=name, value=round(value, 4), limit=LIMITS[name], severity=round(severity(value, LIMITS[name]), 4))
        for name, value in values.items()
        if value > LIMITS[name]
    )
    score = max((signal.severity for signal in signals), default=0.0)
    verdict = "pass"
    if score >= REJECT_FROM and policy == "reject":
        verdict = "rejected"
    elif score >= FLAG_FROM:
        verdict = "flagged"
    return Screening(policy=policy, verdict=verdict, score=score, signals=signals)


def severity(value: float, limit: float) -> float:
    """0 at the limit, 1 at twice the limit or more."""
    return min(1.0, max(0.0, value / limit - 1.0))


def measure(raw: str, removed: Sequence[Change], tokens: int) -> dict[str, float]:
    """All signals of a text by name, each in the unit that ``LIMITS`` gives."""
    size = max(len(raw), 1)
    hidden = sum(c.end - c.start for c in removed if c.reason in HIDING)
    words = [word.lower() for word in WORD.findall(raw)]
    values = {
        "mixed_scripts": mixed(raw, words) / max(len(words), 1),
        "invisible_characters": hidden / size if hidden > 2 else 0.0,
        "token_stuffing": stuffed(raw, words) / size,
    }
    if len(raw) >= SHORTEST:
        wide = sum(ord(c) >= 0x2E80 for c in raw)
        values["repetition"] = repetition(words)
        values["compressibility"] = len(raw) / max(len(zlib.compress(raw.encode("utf-8"), 1)), 1)
        values["tokens_per_character"] = tokens / (size + 4 * wide)
        values["gibberish"] = gibberish(raw)
    return values


def repetition(words: Sequence[str]) -> float:
    """Share of the word triples that the text has had before."""
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if len(triples) >= 8 else 0.0


def gibberish(raw: str) -> float:
    """Share of the Latin words that have no vowel or six consonants in a row; names in capitals do not count."""
    words = [word for word in LATIN_WORD.findall(raw) if not word.isupper()]
    strange = sum(not VOWEL.search(word) or bool(CONSONANTS.search(word)) for word in words)
    return strange / len(words) if strange > 1 else 0.0


def mixed(raw: str, words: Sequence[str]) -> int:
    """Words that mix alphabets whose letters look alike, as ``pаypal`` with a Cyrillic a."""
    if raw.isascii():
        return 0
    return sum(len(scripts(word)) > 1 for word in words if not word.isascii())


def scripts(word: str) -> set[str]:
    """The look-alike alphabets of a word."""
    return {unicodedata.name(c, "?").split(" ", 1)[0] for c in word} & LOOK_ALIKES


def stuffed(raw: str, words: Sequence[str]) -> int:
    """Characters in runs of ten or more of one character, or of the most frequent word where it is a quarter of all."""
    runs = sum(m.end() - m.start() for m in RUN.finditer(raw))
    if len(words) >= 12:
        word, count = Counter(words).most_common(1)[0]
        if count * 4 >= len(words) and len(word) > 3:
            runs += count * (len(word) + 1)
    return min(runs, len(raw))
