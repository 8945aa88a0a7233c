"""One result for equal normalised prompts, told in offsets of each original."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.core import Prepared, Request
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer

from .conftest import LONG

LINE = Line(tokenizer=tokens.load(embedded_tokenizer()))
DIRT = st.sampled_from(["", " ", "  ", "\u200b", "\t\n", "\U0001f600", "<b>"])


def sound(original: str, made: Prepared) -> None:
    assert made.receipt.original == original
    assert made.receipt.tokens_before == LINE.tokenizer.count(original)
    assert all(original[c.start : c.end] == c.original for c in made.receipt.changes)


@given(st.lists(DIRT, min_size=len(LONG.split()), max_size=len(LONG.split())))
def test_dirt_changes_the_receipt_and_not_the_prompt(dirt: list[str]) -> None:
    original = "".join(word + (mark or " ") + " " for word, mark in zip(LONG.split(), dirt, strict=True))
    opened = LINE.open(Request(text=original))
    if opened.request != LINE.open(Request(text=LONG)).request:
        return  # cleaning has its own opinion of a tag before a comma
    made = opened.close(LINE.shorten(LINE.open(Request(text=LONG)).request))
    assert made.prompt == LINE.prepare(Request(text=LONG)).prompt
    sound(original, made)


def test_every_real_prompt_has_a_receipt_that_slices(data: Path) -> None:
    for path in sorted((data / "prompts").glob("singles_*.jsonl")):
        for raw in path.read_text("utf-8").splitlines()[:40]:
            text = json.loads(raw)["text"]
            sound(text, LINE.prepare(Request(text=text)))
