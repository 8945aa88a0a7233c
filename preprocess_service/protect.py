"""Spans that must survive: the client's keywords, what is marked in the prompt, quoted text, numbers, what is negated.

A client marks in the prompt by double square brackets, ``a [[red fox]] in snow``: the brackets go, what stood between
them survives verbatim. Inside a mark stands anything but a bracket or a line break, at most 200 code points, spaces
around it are not part of it. Brackets that do not pair up are text. Under ``passthrough`` nothing is read or taken out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ahocorasick

from .core import Change, Edit, Prompt

KEYWORDS_MAX = 1_000
KEYWORD_LENGTH_MAX = 200
STAGE = "protect"
KEYWORD, LEXICON, MARK = "keyword", "lexicon", "mark"
HARD = frozenset((KEYWORD, LEXICON, MARK))
"""Kinds of the spans whose loss is an error; the others are kept while they fit and missed by name."""
MARKED = re.compile(r"\[\[[^\S\n]*([^\[\]\n]{0,198}[^\[\]\s])[^\S\n]*\]\]")

QUOTED = re.compile(
    r"\"[^\"\n]{1,120}\"|“[^“”\n]{1,120}”|「[^「」\n]{1,120}」|『[^『』\n]{1,120}』|《[^《》\n]{1,120}》|«[^«»\n]{1,120}»"
)
NUMBER = re.compile(
    r"(?<![A-Za-z\u00c0-\u024f\d])(?<!\d[.,:/–-])(?:[A-Z]{1,6}-)?\d+(?:[.,:/–-]\d+)*(?:\s?(?:%|°\s?[CF]?|(?:fps|mm|cm|km|kg|mph|kmh|px|am|pm|s|m|k|K|st|nd|rd|th)\b))?"
)
NEGATION = re.compile(
    r"\b(?:no|not|never|without|none|nobody|nothing|neither|nor|cannot|(?:do|does|did|is|are|was|were|wo|ca|could|should|would|has|have|had)n['’]t)\b(?:\s+(?:(?:a|an|the|any|other|single|more)\s+)?[^\W\d_]+(?:-[^\W\d_]+)*)?"
    # 不断 (steadily), 无人机 (drone), 无缝 (seamless) and their like deny nothing.
    r"|(?!不[断同仅但过久已禁少一错凡妨管论愧]|无[数缝尽论比垠疑限穷边]|无人机)"
    r"(?:没有|无人|不要|不能|不会|不再|不是|禁止|并非|从未|从不|毫无|没|不|无)[\u4e00-\u9fff]{0,2}",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """``text`` at ``[start:end]`` of the text that was searched; ``kind`` is keyword, lexicon, mark, quote, number or negation."""

    start: int
    end: int
    kind: str
    text: str


def fold(text: str) -> str:
    """Lower case that never changes the length, so that offsets stay."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


class Protector:
    """Finds the protected spans of any text. Built once a request; the keywords' automaton costs what they weigh."""

    def __init__(
        self, keywords: Iterable[str] = (), marked: Iterable[str] = (), configured: Iterable[str] = ()
    ) -> None:
        """``marked`` are the terms that the prompt itself marked: found wherever they stand, inside a word too.
        ``configured`` are those of the tenant's lexicon that the prompt has."""
        self.keywords = tuple(dict.fromkeys(k.strip() for k in keywords if k.strip()))
        known = {fold(k) for k in self.keywords}
        self.configured = tuple(t for t in dict.fromkeys(configured) if fold(t) not in known)
        known |= set(map(fold, self.configured))
        self.marked = tuple(m for m in dict.fromkeys(marked) if fold(m) not in known)
        self._pins: dict[str, tuple[Span, ...]] = {}
        self._automaton = ahocorasick.Automaton()
        for kind, term in self.terms:
            self._automaton.add_word(fold(term), (len(term), kind))
        if self.terms:
            self._automaton.make_automaton()

    @property
    def terms(self) -> tuple[tuple[str, str], ...]:
        """Kind and text of all that must survive verbatim."""
        kinds = ((KEYWORD, self.keywords), (LEXICON, self.configured), (MARK, self.marked))
        return tuple((kind, term) for kind, terms in kinds for term in terms)

    def spans(self, text: str) -> tuple[Span, ...]:
        """All protected spans, in order of their start, those of a kind not overlapping, long before short.

        A quotation or negation that holds a keyword is there as well as the keyword.
        """
        hard = longest(self._hard_spans(text))
        soft = [
            Span(start=m.start(), end=m.end(), kind=kind, text=m.group())
            for pattern, kind in ((QUOTED, "quote"), (NUMBER, "number"), (NEGATION, "negation"))
            for m in pattern.finditer(text)
        ]
        if not hard:
            return longest(soft)
        rest = [s for s in longest(soft) if not any(h.start <= s.start and s.end <= h.end for h in hard)]
        return tuple(sorted((*hard, *rest), key=lambda s: (s.start, s.end)))

    def holds(self, before: str, after: str) -> bool:
        """Is every keyword and marked term of ``before`` still in ``after``?"""
        if not self.terms:
            return True
        return self.hard(before) <= self.hard(after)

    def hard(self, text: str) -> set[str]:
        """The keywords and marked terms in the text, in lower case; one inside another counts too."""
        return {fold(span.text) for span in self._hard_spans(text)}

    def pins(self, text: str) -> tuple[Span, ...]:
        """The spans that a cut must not touch: the first mention of each; later ones may go.

        Remembered: the compressor, fidelity and the receipt ask for those of the same text.
        """
        if (known := self._pins.get(text)) is not None:
            return known
        seen: set[str] = set()
        out = []
        for span in self.spans(text):
            key = fold(span.text)
            if key not in seen:
                seen.add(key)
                out.append(span)
        pins = self._pins[text] = tuple(out)
        return pins

    def _hard_spans(self, text: str) -> list[Span]:
        if not self.terms:
            return []
        out = []
        for last, (size, kind) in self._automaton.iter(fold(text)):
            start, end = last - size + 1, last + 1
            if is_bounded(text, start, end) if kind != MARK else text[start:end] in self.marked:
                out.append(Span(start=start, end=end, kind=kind, text=text[start:end]))
        return out


def unmark(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...], tuple[str, ...]]:
    """The prompt without the brackets of its marks, the changes, and the marked terms in order."""
    edits, terms = [], []
    for found in MARKED.finditer(prompt.text):
        terms.append(found.group(1))
        edits.append(Edit(start=found.start(), end=found.start(1), reason="mark"))
        edits.append(Edit(start=found.end(1), end=found.end(), reason="mark"))
    after, changes = prompt.edit(edits, stage=STAGE)
    return after, changes, tuple(terms)


def is_bounded(text: str, start: int, end: int) -> bool:
    """Does ``text[start:end]`` stand alone? Letters and digits join; marks and Chinese do not."""
    joins_left = start > 0 and _JOINED.match(text[start - 1]) and _JOINED.match(text[start])
    joins_right = end < len(text) and _JOINED.match(text[end - 1]) and _JOINED.match(text[end])
    return not joins_left and not joins_right


def longest(found: Sequence[Span]) -> tuple[Span, ...]:
    """Of overlapping spans the first, of those the longest. The filter for bounds has run before."""
    out: list[Span] = []
    free = 0
    for span in sorted(found, key=lambda s: (s.start, -(s.end - s.start))):
        if span.start >= free:
            out.append(span)
            free = span.end
    return tuple(out)
