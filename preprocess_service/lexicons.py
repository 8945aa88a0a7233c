"""A tenant's keywords: thousands of terms, looked for in one pass over the prompt (Aho and Corasick, 1975)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import ahocorasick

from . import clean
from .core import Prompt
from .protect import LEXICON, Span, fold, is_bounded, longest

TERMS_MAX = 50_000
TERM_LENGTH_MAX = 200
PLAIN = re.compile(r"[A-Za-z0-9]+(?:[ +#.-][A-Za-z0-9]+)*[+#]*")
"""What cleaning leaves as it is, told at a hundredth of its cost."""


class Lexicon:
    """Built once for a configuration and read by any number of threads. Empty without terms."""

    def __init__(self, terms: Iterable[str] = ()) -> None:
        """Raises ``ValueError`` for too many terms or one that is too long."""
        known = {fold(term): term for term in terms}
        if len(known) > TERMS_MAX:
            raise ValueError(f"{len(known)} keywords, at most {TERMS_MAX} are taken")
        if long := next((term for term in known if len(term) > TERM_LENGTH_MAX), None):
            raise ValueError(f"the keyword {long[:40]}... has more than {TERM_LENGTH_MAX} characters")
        self._automaton = ahocorasick.Automaton()
        for term in known:
            self._automaton.add_word(term, len(term))
        if known:
            self._automaton.make_automaton()
        self._size = len(known)

    def __len__(self) -> int:
        return self._size

    def found(self, text: str) -> tuple[str, ...]:
        """The terms that stand in ``text``, as it writes them, each once, in order; of overlapping ones the longest.

        A term stands where no letter or digit of its own kind goes on beside it; what does not is no match, so a short
        term is found inside a longer one that fails.
        """
        if not self._size:
            return ()
        spans = [
            Span(start=last - size + 1, end=last + 1, kind=LEXICON, text=text[last - size + 1 : last + 1])
            for last, size in self._automaton.iter(fold(text))
            if is_bounded(text, last - size + 1, last + 1)
        ]
        return tuple({fold(span.text): span.text for span in reversed(longest(spans))}.values())[::-1]


def terms_of(raw: bytes) -> tuple[str, ...]:
    """The terms of a keyword file: one a line, spaces around it and lines that begin with ``# `` left out.

    Each is cleaned as prompts are, since it is looked for in a cleaned one: curly quotes, wide letters, runs of spaces. Raises
    ``ValueError`` for bytes that are no UTF-8.
    """
    lines = (line.strip() for line in raw.decode("utf-8-sig").splitlines())
    return tuple(cleaned(line) for line in lines if line and line != "#" and not line.startswith("# "))


def cleaned(term: str) -> str:
    """The term as a cleaned prompt has it; as it is where cleaning would leave nothing."""
    if PLAIN.fullmatch(term):
        return term
    return clean.clean(Prompt.of(term), emojis="keep")[0].text.strip() or term
