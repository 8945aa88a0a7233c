"""Shorten by choosing: drop what shows least per token, in the author's own words and order, until the text fits.

Needs no weights. English and other spaced languages by word and phrase, Chinese by clause. Nothing is ever added, so
nothing can be invented. Cost is linear in the text but for one sort.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from ..core import Change, Edit, Prompt
from ..protect import Span
from ..tokens import Tokenizer
from . import chinese, lexicon
from .choose import Choice
from .glue import GLUES
from .units import IS_CJK, SENTENCE_END, Chunk, Word, chunks_of, modifies, spread_costs, words_of
from .values import weigh

STAGE = "summarise"
ROUNDS = 6
ROOM = 2
"""Tokens under the target that are not worth another look."""
OPENINGS = re.compile(
    r"""(?:^|(?<=[.!?]\s))(?:
        (?:(?:please|can\ you|i\ want\ you\ to|i\ would\ like\ (?:you\ )?to|imagine|create|generate|make|produce|render
            |show(?:\ me)?|depict)\s+){0,4}
        (?:in\ (?:this|the)\ (?:video|clip|scene|footage),?\s+(?:we\ (?:can\ )?see\s+)?
          |(?:this\ is\ |it\ is\ )?an?\ (?:(?:short|stunning|beautiful|high[- ]quality|cinematic|ai[- ]generated
            |\d+[- ]second)\s+){0,4}(?:video|clip|movie|footage)\ (?:of|showing|that\ shows|featuring|about)\s+
          |(?:the|this)\ (?:video|clip|footage|animation|scene)\ (?:shows|showcases|features|depicts|captures|presents
            |displays|illustrates|portrays|(?:opens|begins|starts)\ (?:with|on))\s+(?:us\s+)?
          |(?:please|imagine|create|generate|show\ me|visuali[sz]e)\s+)
        )
        |(?<![\u4e00-\u9fff])(?:这?个?视频中?(?:展示|展现|呈现|显示|记录)了?|画面中?(?:展示|展现|呈现|显示|描绘)了?
        |请?(?:生成|制作|创建)(?:一[个段张])?(?:视频|短片|图片)[，,：:]?)""",
    re.VERBOSE | re.IGNORECASE,
)
SHORT_ZH = 12
"""Characters and marks of a Chinese clause that is kept whole where part of it must stay."""
DENIES, DENIED = frozenset(("no", "without")), 4
"""Words that deny the noun phrase after them, and how many of its words are kept."""
ENDS_DENIAL = (lexicon.PREPOSITIONS | lexicon.CONNECTIVES | lexicon.COPULAS | lexicon.AUXILIARIES) - DENIES
MARK_RANK = {mark: rank for rank, marks in enumerate(("、", "，,:：–—", ";；", ".。!?！？…")) for mark in marks}


def compress(
    prompt: Prompt, *, target: int, tokenizer: Tokenizer, pins: Sequence[Span] = ()
) -> tuple[Prompt, tuple[Change, ...]]:
    """The prompt in at most ``target`` tokens where choosing words can do that; the caller recounts.

    ``pins`` are spans of ``prompt.text`` that stay. Returns what was dropped as changes of the stage ``summarise``.
    """
    opened = [
        Edit(start=m.start(), end=m.end(), reason="boilerplate opening")
        for m in OPENINGS.finditer(prompt.text)
        if not any(pin.start < m.end() and m.start() < pin.end for pin in pins)
    ]
    shorter, changes = prompt.edit(opened, stage=STAGE)
    if changes:
        found = [shift for pin in pins if (shift := _moved(pin, opened))]
        rest, more = compress(shorter, target=target, tokenizer=tokenizer, pins=found)
        return rest, changes + more
    best = _select(prompt, target, tokenizer, pins, fine=False)
    if IS_CJK.search(prompt.text) and tokenizer.count(best[0].text) > target:
        return _select(prompt, target, tokenizer, pins, fine=True)
    return best


def _select(
    prompt: Prompt, target: int, tokenizer: Tokenizer, pins: Sequence[Span], *, fine: bool
) -> tuple[Prompt, tuple[Change, ...]]:
    """The fullest choice of chunks and words that fits; the smallest one where none does."""
    words, chunks = _units(prompt.text, tokenizer, pins, fine=fine)
    choice, aim = Choice(words, chunks), target
    best: tuple[Prompt, tuple[Change, ...]] | None = None
    slack = -1
    for _ in range(ROUNDS):
        trial = prompt.edit(_edits(prompt.text, words, chunks, choice.fit(aim), choice.optional), stage=STAGE)
        room = target - tokenizer.count(trial[0].text)
        if best is None or 0 <= room < slack or slack < 0 <= room:
            best, slack = trial, room
        if 0 <= room < ROOM or (choice.skimmed and room >= 0):
            break
        aim += room
    return best if best else (prompt, ())


def _moved(pin: Span, removed: Sequence[Edit]) -> Span:
    """The pin in the text without ``removed``, none of which touches it."""
    gone = sum(e.end - e.start for e in removed if e.end <= pin.start)
    return Span(start=pin.start - gone, end=pin.end - gone, kind=pin.kind, text=pin.text)


def _units(text: str, tokenizer: Tokenizer, pins: Sequence[Span], *, fine: bool) -> tuple[list[Word], list[Chunk]]:
    """The text's words, with costs, values and pins, and its chunks."""
    words = words_of(text)
    spread_costs(words, tokenizer.offsets(text))
    chunks = chunks_of(words, fine=fine)
    weigh(words, chunks)
    _pin(words, chunks, pins)
    chinese.weigh(text, words, chunks)
    return words, chunks


def _pin(words: Sequence[Word], chunks: Sequence[Chunk], pins: Sequence[Span]) -> None:
    """Pin the words of the spans, the preposition that they follow, what a number counts, and all that a ``no`` denies:
    ``no camera`` alone would deny something else than ``no camera movement``."""
    ordered = _merged(pins)
    at = 0
    for i, word in enumerate(words):
        while at < len(ordered) and ordered[at][1] <= word.start:
            at += 1
        word.pinned = at < len(ordered) and ordered[at][0] < word.end
        counted = i > 0 and words[i - 1].pinned and words[i - 1].lower[0].isdigit() and not IS_CJK.match(word.lower)
        word.pinned |= counted and not word.mark and word.lower not in lexicon.FUNCTION
    _pin_denied(words)
    for chunk in chunks:
        inside = words[chunk.first : chunk.last]
        if len(inside) <= SHORT_ZH and IS_CJK.match(inside[0].lower) and any(w.pinned for w in inside):
            for word in inside:
                word.pinned |= not word.mark
        opener = words[chunk.first]
        if opener.lower in lexicon.PREPOSITIONS and any(w.pinned for w in words[chunk.first : chunk.last]):
            opener.pinned = True


def _pin_denied(words: Sequence[Word]) -> None:
    """Pin the rest of the noun phrase after a pinned ``no`` or ``without``."""
    for i, word in enumerate(words):
        if not word.pinned or word.lower not in DENIES:
            continue
        for following in words[i + 1 : i + 1 + DENIED]:
            if following.mark or following.lower in ENDS_DENIAL or following.lower.endswith("ing"):
                break
            following.pinned = True


def _merged(pins: Sequence[Span]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted((pin.start, pin.end) for pin in pins):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _edits(
    text: str, words: Sequence[Word], chunks: Sequence[Chunk], keep: Sequence[bool], optional: Sequence[bool]
) -> list[Edit]:
    """One edit for each run of dropped words, with the mark that must stand in its place."""
    out: list[Edit] = []
    stay = [i for i, kept in enumerate(keep) if kept and (not words[i].mark or words[i].pinned)]
    if not stay:
        return []
    opens = {chunk.first: chunk for chunk in chunks if chunk.place}
    if stay[0] > 0 and not all(keep[: stay[0]]):
        out.append(Edit(start=0, end=words[stay[0]].start, reason="low value"))
    for left, right in pairwise(stay):
        if all(keep[left + 1 : right]):
            continue
        start, end = words[left].end, words[right].start
        marks = [i for i in range(left + 1, right) if words[i].mark and (keep[i] or not optional[i])]
        mark = _mark(words, marks, left, right, right in opens)
        if not mark and right - 1 in opens and right - 1 > left and words[right - 1].lower.endswith("ing"):
            mark = ","
        joins = all(c.isalnum() and not IS_CJK.match(c) for c in (text[start - 1], text[end])) and not mark
        space = " " if joins or any(c.isspace() for c in text[start:end]) else ""
        out.append(Edit(start=start, end=end, replacement=mark + space, reason="low value"))
    last = stay[-1]
    if not all(keep[last + 1 :]):
        closing = [word.lower for word in words[last + 1 :] if word.mark and word.lower in SENTENCE_END]
        out.append(
            Edit(start=words[last].end, end=len(text), replacement=closing[0] if closing else "", reason="low value")
        )
    return out


def _mark(words: Sequence[Word], marks: Sequence[int], left: int, right: int, inside: bool) -> str:
    """The mark between two kept words when something between them went: the strongest of the gap.

    A comma after a dropped adjective goes with it; one that closed a dropped phrase stays, but for a preposition, which
    joins by itself. ``inside``: the right word opens a phrase inside a sentence, so no full stop stands before it.
    """
    marks = [i for i in marks if words[i].lower in MARK_RANK]
    dropped = [i for i in range(left + 1, right) if not words[i].mark]
    if all(words[i].lower in GLUES or modifies(words[i]) for i in dropped):
        marks = [i for i in marks if i == left + 1 or words[i].lower in SENTENCE_END]
    mark = max((words[i].lower for i in marks), key=MARK_RANK.__getitem__, default="")
    same = all(words[i].lower not in SENTENCE_END for i in marks)
    if inside and same and words[right].lower in lexicon.PREPOSITIONS:
        return ""
    return "," if inside and mark == "." else mark
