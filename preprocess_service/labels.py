"""A free prompt whose fields are labelled (``Subject: a fox. Style: watercolor``) is as clear as a structured one."""

from __future__ import annotations

import re
from typing import Final

from .core import Change, Fields, Prompt, Template
from .realign import rewrite
from .template import STAGE, compose

NAMES: Final = {
    "subject": ("subject", "main subject", "主体", "主题"),
    "action": ("action", "motion", "动作", "运动"),
    "scene": ("scene", "setting", "background", "environment", "场景", "背景"),
    "style": ("style", "aesthetic", "风格"),
    "camera": ("camera", "camera movement", "shot", "镜头", "运镜"),
}
_FIELD: Final = {label: field for field, labels in NAMES.items() for label in labels}
_LABEL: Final = re.compile(
    rf"(?:^|(?<=[\s.,;，。；]))({'|'.join(sorted(_FIELD, key=len, reverse=True))})\s*[:：]\s*", re.IGNORECASE
)


def parse(text: str) -> Fields | None:
    """The fields of a labelled prompt. None unless it is clear: it begins with a label, has two or more, none twice, none empty,
    and no quotation, whose words might look like labels."""
    marks = list(_LABEL.finditer(text))
    names = [_FIELD[mark.group(1).lower()] for mark in marks]
    if len(marks) < 2 or marks[0].start() != 0 or len(set(names)) < len(names) or any(c in text for c in '"“「『'):
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    values = [text[mark.end() : end].strip(" \t\n.,;，。；") for mark, end in zip(marks, ends, strict=True)]
    return Fields(**dict(zip(names, values, strict=True))) if all(values) else None


def unlabel(prompt: Prompt, layout: Template) -> tuple[Prompt, tuple[Change, ...]]:
    """The labelled prompt as its template writes it; any other stays as it is."""
    fields = parse(prompt.text)
    if fields is None or any(getattr(fields, name) for name in NAMES if name not in layout.order):
        return prompt, ()  # a template that has no place for a field would lose it
    return rewrite(prompt, compose(fields, layout), stage=STAGE, reason="field labels")
