"""Keep offsets through a rewrite of the whole text that nobody reported span by span."""

import re

from .core import Change, Edit, Prompt

_PIECES = re.compile(r"\s+|\S+")


def rewrite(prompt: Prompt, text: str, *, stage: str, reason: str) -> tuple[Prompt, tuple[Change, ...]]:
    """``prompt`` with ``text`` in place of its own, as edits that are as small as a linear comparison can tell.

    Word by word where both have equally many words; otherwise one run between what they share in front and behind.
    """
    if text == prompt.text:
        return prompt, ()
    old, new = _PIECES.findall(prompt.text), _PIECES.findall(text)
    if len(old) != len(new):
        return prompt.edit([_differing(prompt.text, text, 0, reason)], stage=stage)
    edits, at = [], 0
    for was, now in zip(old, new, strict=True):
        if was != now:
            edits.append(_differing(was, now, at, reason))
        at += len(was)
    return prompt.edit(edits, stage=stage)


def _differing(was: str, now: str, at: int, reason: str) -> Edit:
    """The edit that turns ``was`` (at ``at``) into ``now``, less what both share in front and behind."""
    limit = min(len(was), len(now))
    front = next((i for i in range(limit) if was[i] != now[i]), limit)
    back = next((i for i in range(limit - front) if was[-1 - i] != now[-1 - i]), limit - front)
    return Edit(start=at + front, end=at + len(was) - back, replacement=now[front : len(now) - back], reason=reason)
