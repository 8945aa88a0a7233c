"""Fields <-> prompt, and the last look at the punctuation."""

import re

from .core import Change, Edit, Fields, Prompt, Template

STAGE = "template"
PAIRS = {"(": ")", "[": "]", "{": "}", "（": "）", "「": "」", "『": "』", "《": "》", "【": "】", "“": "”"}
RULES = (
    (re.compile(r"\s+(?=[,;:!?，。、；：！？](?:\s|$|[\u4e00-\u9fff]))|\s+(?=\.(?:\s|$))"), ""),
    (re.compile(r"(?<=[a-z]{3})\.\s*(?=,)"), ""),
    (re.compile(r"[,;:，、；：](?:\s*[,;:，、；：])*\s*(?=[.!?。！？](?:\s|$|[\u4e00-\u9fff]))"), ""),
    (re.compile(r"(?:[,;]\s*)+(?=[,;])"), ""),
    (re.compile(r"(?:[，、；]\s*)+(?=[，、；])"), ""),
    (re.compile(r"(?<=[。！？])[，、；。]+"), ""),
    (re.compile(r"^[\s,;:.!?，。、；：！？]+(?=.*[^\s,;:.!?，。、；：！？])", re.DOTALL), ""),
    (re.compile(r"(?<=[^\s,;:，、；：])[\s,;:，、；：]+$"), ""),
)


def compose(fields: Fields, template: Template) -> str:
    """The fields in the template's order, joined, empty ones skipped. This is a structured prompt's original."""
    defaults = dict(template.defaults)
    values = (getattr(fields, name).strip() or defaults.get(name, "") for name in template.order)
    return template.join.join(value for value in values if value)


def tidy(prompt: Prompt, *, balance: bool) -> tuple[Prompt, tuple[Change, ...]]:
    """No doubled, leading or dangling separators. ``balance`` also removes unpaired brackets and quotes."""
    changes: tuple[Change, ...] = ()
    unpaired = orphans(prompt.text) if balance else []
    if len(unpaired) < sum(not c.isspace() for c in prompt.text):
        prompt, changes = prompt.edit(unpaired, stage=STAGE)
    for pattern, replacement in RULES:
        edits = [
            Edit(start=m.start(), end=m.end(), replacement=replacement, reason="punctuation")
            for m in pattern.finditer(prompt.text)
            if m.end() > m.start()
        ]
        prompt, found = prompt.edit(edits, stage=STAGE)
        changes += found
    return prompt, changes


def orphans(text: str) -> list[Edit]:
    """Brackets and quotes of ``text`` without a partner."""
    closing = {close: open_ for open_, close in PAIRS.items()}
    open_at: dict[str, list[int]] = {mark: [] for mark in PAIRS}
    lost: list[int] = []
    straight = [i for i, c in enumerate(text) if c == '"']
    if len(straight) % 2:
        lost.append(straight[-1])
    for i, char in enumerate(text):
        if char in PAIRS:
            open_at[char].append(i)
        elif char in closing:
            if open_at[closing[char]]:
                open_at[closing[char]].pop()
            else:
                lost.append(i)
    lost += [i for rest in open_at.values() for i in rest]
    return [Edit(start=i, end=i + 1, reason="orphaned mark") for i in sorted(lost)]
