"""The last resort: the head and the tail of the text, cut at clause edges, with protected spans pinned between them.

The cut is a choice of slices of the text, joined and counted again until they fit; token ids are never decoded.
"""

import re
import unicodedata
from collections.abc import Sequence

from reelgate.rpc.errors import ProtectedTermsError

from .core import Change, Edit, Prompt
from .protect import HARD, Span
from .tokens import Tokenizer

STAGE = "fit"
CLAUSE_EDGE = re.compile(r"[,.;:!?](?=\s|$)|[，。；：！？、]")
WORD_EDGE = re.compile(r"\s|(?<=[\u3040-\u30ff\u3400-\u9fff])(?=[^\s])")
JOINS_BEFORE = re.compile(
    "[\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31-\u0e3a\u0e47-\u0e4e\u200c\u200d"
    "\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
EDGE_SEARCH = 0.3
"""Share of a side that may be given up to end it at a clause edge."""
Slice = tuple[int, int]


def fit(
    prompt: Prompt, *, target: int, head: int, tail: int, tokenizer: Tokenizer, pins: Sequence[Span] = ()
) -> tuple[Prompt, tuple[Change, ...], tuple[Span, ...]]:
    """At most ``target`` tokens: the first ``head`` and last ``tail`` shares of it, and the pins.

    Returns the prompt, the changes, and the soft pins that did not fit. Raises ``ProtectedTermsError`` where the
    keywords alone exceed the target.
    """
    offsets = tokenizer.offsets(prompt.text)
    if len(offsets) <= target:
        return prompt, (), ()
    hard = [pin for pin in pins if pin.kind in HARD]
    alone = (
        tokenizer.count(_assemble(prompt, _merge(prompt.text, [(p.start, p.end) for p in hard]))[0].text) if hard else 0
    )
    if alone > target:
        raise ProtectedTermsError(
            f"the protected terms alone take {alone} tokens, at most {target} fit",
            metadata={"tokens": str(alone), "limit": str(target)},
        )
    soft = [pin for pin in pins if pin.kind not in HARD]
    dropped: list[Span] = []
    room = target
    while True:
        kept = [(p.start, p.end) for p in (*hard, *soft)]
        slices = _merge(prompt.text, _sides(prompt.text, offsets, room, head, tail) + kept)
        shorter, changes = _assemble(prompt, slices)
        over = tokenizer.count(shorter.text) - target
        if over <= 0 and shorter.text:
            return shorter, changes, tuple(dropped)
        if room > 0:
            room = max(0, room - max(1, over))
        elif soft:
            cut = max(1, len(soft) // 4)
            dropped, soft, room = dropped + soft[-cut:], soft[:-cut], target // 4
        else:
            shorter, changes = _assemble(prompt, [(0, _smallest(prompt.text, tokenizer, target))])
            return shorter, changes, tuple(dropped)


def _sides(text: str, offsets: Sequence[Slice], room: int, head: int, tail: int) -> list[Slice]:
    """The two slices that ``room`` tokens give, each ended at a clause edge, or at a word's, or between characters."""
    first = round(room * head / (head + tail))
    last = room - first
    out: list[Slice] = []
    if first:
        out.append((0, _edge_before(text, offsets[first - 1][1])))
    if last:
        out.append((_edge_after(text, offsets[-last][0]), len(text)))
    return [(a, b) for a, b in (_trim(text, *side) for side in out) if a < b]


def _trim(text: str, start: int, end: int) -> Slice:
    """The slice without white space at its ends."""
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def _edge_before(text: str, at: int) -> int:
    low = int(at * (1 - EDGE_SEARCH))
    for pattern in (CLAUSE_EDGE, WORD_EDGE):
        ends = [m.end() if pattern is CLAUSE_EDGE else m.start() for m in pattern.finditer(text, low, at)]
        if ends and ends[-1] > 0:
            return ends[-1]
    while at > 0 and at < len(text) and (JOINS_BEFORE.match(text[at]) or text[at - 1] == "\u200d"):
        at -= 1
    return at


def _edge_after(text: str, at: int) -> int:
    high = at + int((len(text) - at) * EDGE_SEARCH) + 1
    for pattern in (CLAUSE_EDGE, WORD_EDGE):
        found = pattern.search(text, at, min(high, len(text)))
        if found and found.end() < len(text):
            return found.end()
    while at < len(text) and (JOINS_BEFORE.match(text[at]) or (at > 0 and text[at - 1] == "\u200d")):
        at += 1
    return at


def _merge(text: str, slices: Sequence[Slice]) -> list[Slice]:
    """Sorted, with slices that touch or have only a space between them made one."""
    out: list[Slice] = []
    for start, end in sorted(slices):
        if out and (start <= out[-1][1] or not text[out[-1][1] : start].strip()):
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _assemble(prompt: Prompt, slices: Sequence[Slice]) -> tuple[Prompt, tuple[Change, ...]]:
    edits: list[Edit] = []
    cursor = 0
    for start, end in slices:
        if cursor < start:
            joint = _joint(prompt.text, cursor, start) if cursor else ""
            edits.append(Edit(start=cursor, end=start, replacement=joint, reason="over the target"))
        cursor = end
    if cursor < len(prompt.text):
        edits.append(Edit(start=cursor, end=len(prompt.text), reason="over the target"))
    return prompt.edit(edits, stage=STAGE)


def _joint(text: str, left: int, right: int) -> str:
    """What joins two slices: nothing but a space after a mark, else a comma; the Chinese one between Chinese."""
    before, after = text[:left].rstrip()[-1:], text[right : right + 1]
    chinese = ord(before) >= 0x2E80 and ord(after) >= 0x2E80
    if unicodedata.category(before)[0] not in "LNM":
        return "" if chinese or text[left - 1].isspace() else " "
    return "，" if chinese else ", "


def _smallest(text: str, tokenizer: Tokenizer, target: int) -> int:
    """The longest prefix that fits, by halving; at least one code point."""
    low, high = 1, min(len(text), target * 32)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokenizer.count(text[:middle]) <= target else (low, middle - 1)
    return low
