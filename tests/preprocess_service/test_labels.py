"""Labelled prompts are parsed where they are clear."""

import pytest

from preprocess_service.core import Fields, Request, Template
from preprocess_service.labels import parse
from preprocess_service.pipeline import Line

LABELLED = "Subject: a red fox. Action: jumps over a log; Style: watercolor\nCamera: slow pan."


def test_labelled_fields_are_found() -> None:
    assert parse(LABELLED) == Fields(
        subject="a red fox", action="jumps over a log", style="watercolor", camera="slow pan"
    )
    assert parse("主体：一只狐狸。场景：雪地。") == Fields(subject="一只狐狸", scene="雪地")


@pytest.mark.parametrize(
    "text",
    [
        "A fox. Style: watercolor",
        "Subject: a fox",
        "Subject: a fox. Subject: a dog",
        "Subject: a fox. Style:",
        'Subject: a sign that says "Style: bold". Camera: pan',
        "A movie about style: camera work",
    ],
)
def test_what_is_not_clear_is_left_alone(text: str) -> None:
    assert parse(text) is None


def test_a_labelled_prompt_equals_the_structured_one(line: Line) -> None:
    fields = Fields(subject="a red fox", action="jumps over a log", style="watercolor", camera="slow pan")
    made = line.prepare(Request(text=LABELLED))
    assert made.prompt == line.prepare(Request(fields=fields)).prompt
    assert all(LABELLED[c.start : c.end] == c.original for c in made.receipt.changes)


def test_the_template_orders_and_fills_fields_and_never_drops_one(line: Line) -> None:
    ordered = Template(order=("style", "subject", "action", "camera"), defaults=(("camera", "static shot"),))
    text = "Subject: a fox. Style: watercolor"
    assert line.prepare(Request(text=text, template=ordered)).prompt == "watercolor, a fox, static shot"
    assert line.prepare(Request(text=text, template=Template(order=("subject",)))).prompt == text
