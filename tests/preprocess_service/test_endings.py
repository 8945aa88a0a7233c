"""Equal endings become equal strings, and nothing else is touched."""

import json
from pathlib import Path

import pytest

from preprocess_service.core import POLICIES, Prompt, Request
from preprocess_service.endings import settle
from preprocess_service.pipeline import Line

SAME = [
    "A fox runs, cinematic, highly detailed, 4K",
    "A fox runs, 4k, Cinematic, Highly-Detailed.",
    "A fox runs. Cinematic, 4k, highly detailed, cinematic",
    "A fox runs; highly detailed; 4 K; cinematic;",
]


@pytest.mark.parametrize("text", SAME)
def test_spellings_and_orders_of_the_same_endings_become_one(text: str, line: Line) -> None:
    opened = line.open(Request(text=text))
    assert opened.request.text == SAME[0]
    made = line.prepare(Request(text=text))
    assert made.prompt == SAME[0]
    assert all(text[c.start : c.end] == c.original for c in made.receipt.changes)


def test_chinese_endings_too() -> None:
    assert settle(Prompt.of("一只狐狸在雪地里奔跑，高清，电影感。"))[0].text == "一只狐狸在雪地里奔跑，电影感，高清"


@pytest.mark.parametrize(
    "text",
    [
        "A cinematic fox runs in 4K resolution.",
        "4k, cinematic, a fox runs",
        "A fox runs.",
        "A fox, realistic and calm",
        "A man writes 4k",
    ],
)
def test_whatever_is_no_ending_stays(text: str) -> None:
    assert settle(Prompt.of(text)) == (Prompt.of(text), ())


def test_a_keyword_and_a_passed_through_prompt_stay_as_they_were_written(line: Line) -> None:
    assert line.prepare(Request(text=SAME[1], keywords=("4k",))).prompt.endswith("4k, Cinematic, Highly-Detailed.")
    assert line.prepare(Request(text=SAME[1], policy=POLICIES["passthrough"])).prompt == SAME[1]


def test_settling_twice_changes_nothing_on_any_real_prompt(data: Path) -> None:
    for path in sorted((data / "prompts").glob("*.jsonl")):
        for raw in path.read_text("utf-8").splitlines():
            row = json.loads(raw)
            once = settle(Prompt.of(row.get("long") or row["text"]))[0]
            assert settle(Prompt.of(once.text))[0].text == once.text
