"""Spans that must survive: the client's keywords, quoted text, numbers, and what is negated."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ahocorasick

KEYWORDS_MAX = 1_000
KEYWORD_LENGTH_MAX = 200
HARD = "keyword"
"""Kind of the spans whose loss is an error; the others are kept while they fit and missed by name."""

QUOTED = re.compile(
    r"\"[^\"\n]{1,120}\"|“[^“”\n]{1,120}”|「[^「」\n]{1,120}」|『[^『』\n]{1,120}』|《[^《》\n]{1,120}》|«[^«»\n]{1,120}»"
)
NUMBER = re.compile(
    r"(?<![^\W\d_])\d+(?:[.,:/]\d+)*(?:\s?(?:%|°\s?[CF]?|(?:fps|mm|cm|km|kg|mph|kmh|px|am|pm|s|m|k|K|st|nd|rd|th)\b))?"
)
NEGATION = re.compile(
    r"\b(?:no|not|never|without|none|nobody|nothing|neither|nor|cannot|(?:do|does|did|is|are|was|were|wo|ca|could|should|would|has|have|had)n['’]t)\b(?:\s+(?:(?:a|an|the|any|other|single|more)\s+)?[^\W\d_]+(?:-[^\W\d_]+)*)?"
    r"|(?:没有|无人|不要|不能|不会|不再|不是|禁止|并非|从未|从不|毫无|没)[\u4e00-\u9fff]{0,3}",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """``text`` at ``[start:end]`` of the text that was searched; ``kind`` is keyword, quote, number or negation."""

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

    def __init__(self, keywords: Iterable[str] = ()) -> None:
        self.keywords = tuple(dict.fromkeys(k.strip() for k in keywords if k.strip()))
        self._automaton = ahocorasick.Automaton()
        for keyword in self.keywords:
            self._automaton.add_word(fold(keyword), keyword)
        if self.keywords:
            self._automaton.make_automaton()

    def spans(self, text: str) -> tuple[Span, ...]:
        """All protected spans, in order, not overlapping: keywords before the others, long before short."""
        found = self._keyword_spans(text)
        for pattern, kind in ((QUOTED, "quote"), (NUMBER, "number"), (NEGATION, "negation")):
            found += [Span(start=m.start(), end=m.end(), kind=kind, text=m.group()) for m in pattern.finditer(text)]
        return longest(found)

    def pins(self, text: str) -> tuple[Span, ...]:
        """The spans that a cut must not touch: the first mention of each; later ones may go."""
        seen: set[str] = set()
        out = []
        for span in self.spans(text):
            key = fold(span.text)
            if key not in seen:
                seen.add(key)
                out.append(span)
        return tuple(out)

    def _keyword_spans(self, text: str) -> list[Span]:
        if not self.keywords:
            return []
        out = []
        for last, keyword in self._automaton.iter(fold(text)):
            start, end = last - len(keyword) + 1, last + 1
            if is_bounded(text, start, end):
                out.append(Span(start=start, end=end, kind=HARD, text=keyword))
        return out


def is_bounded(text: str, start: int, end: int) -> bool:
    """Does ``text[start:end]`` stand alone? Letters and digits join; marks and Chinese do not."""
    joins_left = start > 0 and _JOINED.match(text[start - 1]) and _JOINED.match(text[start])
    joins_right = end < len(text) and _JOINED.match(text[end - 1]) and _JOINED.match(text[end])
    return not joins_left and not joins_right


def longest(found: Sequence[Span]) -> tuple[Span, ...]:
    """Of overlapping spans the keyword, then the longest, then the first. The filter for bounds has run before."""
    out: list[Span] = []
    free = 0
    ranked = sorted(found, key=lambda s: (s.start, s.kind != HARD, -(s.end - s.start)))
    for span in ranked:
        if span.start >= free:
            out.append(span)
            free = span.end
        elif out and span.kind == HARD and out[-1].kind != HARD:
            out[-1] = span
            free = max(free, span.end)
    return tuple(out)
