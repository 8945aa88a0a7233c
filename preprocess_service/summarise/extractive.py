"""Shorten by choosing: drop what shows least per token, in the author's own words and order, until the text fits.

Needs no weights. English and other spaced languages by word and phrase, Chinese by clause. Nothing is ever added, so
nothing can be invented. Cost is linear in the text but for one sort.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ..core import Change, Edit, Prompt
from ..protect import Span
from ..tokens import Tokenizer
from . import lexicon
from .units import IS_CJK, SENTENCE_END, Chunk, Word, chunks_of, modifies, spread_costs, suffixes, words_of
from .values import weigh

STAGE = "summarise"
ROUNDS = 6
OPENINGS = re.compile(
    r"""(?:^|(?<=[.!?]\s))(?:
        (?:(?:please|can\ you|i\ want\ you\ to|i\ would\ like\ (?:you\ )?to|imagine|create|generate|make|produce|render
            |show(?:\ me)?|depict)\s+){0,4}
        (?:in\ (?:this|the)\ (?:video|clip|scene|footage),?\s+(?:we\ (?:can\ )?see\s+)?
          |(?:this\ is\ |it\ is\ )?an?\ (?:(?:short|stunning|beautiful|high[- ]quality|cinematic|ai[- ]generated
            |\d+[- ]second)\s+){0,4}(?:video|clip|movie|footage)\ (?:of|showing|that\ shows|featuring|about)\s+
          |(?:the|this)\ (?:video|clip|footage|animation|scene)\ (?:shows|showcases|features|depicts|captures|presents
            |displays|illustrates|portrays)\s+(?:us\s+)?
          |(?:please|imagine|create|generate|show\ me|visuali[sz]e)\s+)
        )
        |(?<![\u4e00-\u9fff])(?:这?个?视频中?(?:展示|展现|呈现|显示|记录)了?|画面中?(?:展示|展现|呈现|显示|描绘)了?
        |请?(?:生成|制作|创建)一[个段](?:视频|短片)[，,：:]?)""",
    re.VERBOSE | re.IGNORECASE,
)
DROPPABLE = lexicon.ARTICLES | lexicon.POSSESSIVES | lexicon.COPULAS
HOLLOW_ZH = re.compile(
    "营造|氛围|仿佛|令人|让人|给人|充满|感觉|气息|意境|美感|展现出|彰显|体现|散发|质感|和谐|宁静|温馨|唯美|梦幻|整体|感受|细节|沉浸"
)
CAMERA_ZH = re.compile(
    "特写|近景|中景|远景|全景|俯拍|仰拍|航拍|跟拍|推近|拉远|摇摄|镜头(?:环绕|推|拉|摇|移|向|跟)|风格|慢动作|延时"
)
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
    aim = target
    words, candidates = _candidates(prompt.text, tokenizer, pins)
    best: Prompt = prompt
    dropped: tuple[Change, ...] = ()
    for _ in range(ROUNDS):
        best, dropped = prompt.edit(_edits(prompt.text, words, _choose(words, candidates, aim)), stage=STAGE)
        over = tokenizer.count(best.text) - target
        if over <= 0:
            break
        aim -= over
    return best, dropped


def _moved(pin: Span, removed: Sequence[Edit]) -> Span:
    """The pin in the text without ``removed``, none of which touches it."""
    gone = sum(e.end - e.start for e in removed if e.end <= pin.start)
    return Span(start=pin.start - gone, end=pin.end - gone, kind=pin.kind, text=pin.text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that can go: ``words[first:last]``, a whole phrase or one word. The cheapest by ``density`` goes first.

    ``before`` is the first word of what the phrase hangs on, -1 where it stands alone: it may not stay without that.
    """

    density: float
    first: int
    last: int
    phrase: bool = False
    before: int = -1


def _candidates(text: str, tokenizer: Tokenizer, pins: Sequence[Span]) -> tuple[list[Word], list[Candidate]]:
    words = words_of(text)
    spread_costs(words, tokenizer.offsets(text))
    chunks = chunks_of(words)
    weigh(words, chunks)
    _pin(words, pins)
    _weigh_chinese(text, words, chunks)
    found: list[Candidate] = []
    for _, chain in groupby(chunks, key=lambda c: c.chain):
        links = list(chain)
        values, costs = [], []
        for link in links:
            found += _word_candidates(words, link)
            rest = [words[i] for i in range(link.first, link.last) if not _is_droppable(words[i])]
            values.append(sum(word.value for word in rest))
            costs.append(sum(word.cost for word in rest))
        end = links[-1].last
        groups = suffixes(values, costs)
        for n, (at, density) in enumerate(groups):
            before = links[groups[n + 1][0]].first if n + 1 < len(groups) else -1
            found.append(Candidate(density, links[at].first, end, True, before))
            end = links[at].first
    found.sort(key=lambda c: (c.density, -c.first))
    return words, found


def _pin(words: Sequence[Word], pins: Sequence[Span]) -> None:
    ordered = sorted(pins, key=lambda pin: pin.start)
    at = 0
    for word in words:
        while at < len(ordered) and ordered[at].end <= word.start:
            at += 1
        word.pinned = at < len(ordered) and ordered[at].start < word.end


def _weigh_chinese(text: str, words: Sequence[Word], chunks: Sequence[Chunk]) -> None:
    """A Chinese clause about mood counts for little, one about the camera for more."""
    for chunk in chunks:
        if not any(IS_CJK.match(word.lower) for word in words[chunk.first : chunk.last]):
            continue
        clause = text[words[chunk.first].start : words[chunk.last - 1].end]
        factor = (0.4 if HOLLOW_ZH.search(clause) else 1.0) * (2.0 if CAMERA_ZH.search(clause) else 1.0)
        for word in words[chunk.first : chunk.last]:
            word.value *= factor


def _is_droppable(word: Word) -> bool:
    """May the word go alone, its phrase staying?"""
    if word.mark or word.pinned or word.capital:
        return False
    lower = word.lower
    hollow = lower in lexicon.FILLER or (lower.endswith("ly") and lower not in lexicon.TEMPO)
    return lower in DROPPABLE or (hollow and word.value < 0.2)


def _word_candidates(words: Sequence[Word], chunk: Chunk) -> list[Candidate]:
    out: list[Candidate] = []
    for i in range(chunk.first, chunk.last):
        word = words[i]
        if not _is_droppable(word):
            continue
        glue = 0.0005 + (0.002 if chunk.sentence == 0 else 0.0)
        density = glue if word.lower in DROPPABLE else word.value / max(word.cost, 0.5)
        out.append(Candidate(density, *_with_its_and(words, chunk, i)))
    return out


def _with_its_and(words: Sequence[Word], chunk: Chunk, i: int) -> tuple[int, int]:
    """A modifier goes with the ``and`` that ties it to the next or the last one: ``a beautiful and | stunning | ball``."""

    def tied(at: int, other: int) -> bool:
        inside = chunk.first <= min(at, other) and max(at, other) < chunk.last
        return inside and words[at].lower in ("and", "or") and not words[at].pinned and modifies(words[other])

    if tied(i + 1, i + 2):
        return i, i + 2
    return (i - 1, i + 1) if tied(i - 1, i - 2) else (i, i + 1)


def _choose(words: Sequence[Word], candidates: Sequence[Candidate], target: int) -> list[bool]:
    """Which words stay, so that their costs add up to ``target`` or less; pins always stay."""
    keep = [True] * len(words)
    total = sum(word.cost for word in words)
    dropped: list[tuple[Candidate, list[int]]] = []
    for candidate in candidates:
        if total <= target:
            break
        gone = [i for i in range(candidate.first, candidate.last) if keep[i] and not words[i].pinned]
        for i in gone:
            keep[i] = False
        total -= sum(words[i].cost for i in gone)
        dropped.append((candidate, gone))
    for candidate, gone in reversed(dropped):
        cost = sum(words[i].cost for i in gone)
        if (
            candidate.phrase
            and total + cost <= target
            and (candidate.before < 0 or any(keep[candidate.before : candidate.first]))
        ):
            for i in gone:
                keep[i] = True
            total += cost
    return keep


def _edits(text: str, words: Sequence[Word], keep: Sequence[bool]) -> list[Edit]:
    """One edit for each run of dropped words, with the mark that must stand in its place."""
    out: list[Edit] = []
    stay = [i for i, kept in enumerate(keep) if (kept and not words[i].mark) or (kept and words[i].pinned)]
    if not stay:
        return []
    if stay[0] > 0 and not all(keep[: stay[0]]):
        out.append(Edit(start=0, end=words[stay[0]].start, reason="low value"))
    for left, right in pairwise(stay):
        if all(keep[left + 1 : right]):
            continue
        start, end = words[left].end, words[right].start
        out.append(Edit(start=start, end=end, replacement=_joint(text, words, keep, left, right), reason="low value"))
    last = stay[-1]
    if not all(keep[last + 1 :]):
        closing = [word.lower for word in words[last + 1 :] if word.mark and word.lower in SENTENCE_END]
        out.append(
            Edit(start=words[last].end, end=len(text), replacement=closing[0] if closing else "", reason="low value")
        )
    return out


def _joint(text: str, words: Sequence[Word], keep: Sequence[bool], left: int, right: int) -> str:
    """What stands between two kept words when something between them went: the strongest mark of the gap, and a space.

    A comma after a dropped adjective goes with it; one that closed a dropped phrase stays.
    """
    marks = [i for i in range(left + 1, right) if words[i].mark and words[i].lower in MARK_RANK]
    dropped = [i for i in range(left + 1, right) if not words[i].mark]
    single = all(_is_droppable(words[i]) for i in dropped)
    if single:
        marks = [i for i in marks if i == left + 1 or words[i].lower in SENTENCE_END]
    mark = max((words[i].lower for i in marks), key=MARK_RANK.__getitem__, default="")
    spaced = any(c.isspace() for c in text[words[left].end : words[right].start])
    return mark + (" " if spaced else "")
