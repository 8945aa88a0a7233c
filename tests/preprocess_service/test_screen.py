"""Screening: what is no prompt is seen, and no real prompt is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.clean import clean
from preprocess_service.core import Prompt, Request
from preprocess_service.pipeline import Line
from preprocess_service.screen import LIMITS, screen
from reelgate.rpc.errors import PromptRejectedError

BAD = [
    ("a red ball rolls " * 40, "repetition"),
    ("compress me " * 100, "compressibility"),
    ("xkcd qwrtpl zxcvbnm sdfghjkl wrtpsd bcdfgh mnbvcxz lkjhgf", "gibberish"),
    ("a p\u0430ypal and a g\u043eogle sign on a wall", "mixed_scripts"),
    ("a\u200b red\u200b ball\u200b rolls\u200b", "invisible_characters"),
    ("a cat " + "!" * 60, "token_stuffing"),
    (
        "masterpiece cat masterpiece dog masterpiece sun masterpiece sky masterpiece sea masterpiece hat",
        "token_stuffing",
    ),
]


@pytest.mark.parametrize(("text", "signal"), BAD)
def test_what_is_no_prompt_is_seen(text: str, signal: str, line: Line) -> None:
    receipt = line.prepare(Request(text=text, screening="flag")).receipt
    assert signal in [s.name for s in receipt.screening.signals]
    assert receipt.screening.verdict == "flagged"
    assert f"screening:{signal}" in receipt.notes


def test_the_policy_decides(line: Line) -> None:
    text = "a red ball rolls " * 40
    assert line.prepare(Request(text=text)).receipt.screening.verdict == "flagged"
    assert not [n for n in line.prepare(Request(text=text)).receipt.notes if n.startswith("screening")]
    with pytest.raises(PromptRejectedError) as caught:
        line.prepare(Request(text=text, screening="reject"))
    assert caught.value.metadata["repetition"].endswith("(limit 0.35)")
    assert float(caught.value.metadata["score"]) >= 0.6


@given(st.text(max_size=300))
def test_any_text_has_a_score(text: str) -> None:
    found = screen(text, clean(Prompt.of(text))[1], len(text), policy="reject")
    assert 0 <= found.score <= 1
    assert {s.name for s in found.signals} <= set(LIMITS)
    assert bool(found.signals) or found.verdict == "pass"


def test_no_real_prompt_is_flagged(data: Path) -> None:
    tokenizer = tokens.load(data / "tokenizers" / "bart-large-cnn" / "tokenizer.json")
    flagged = []
    for path in sorted((data / "prompts").glob("*.jsonl")):
        for raw in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(raw)
            text = row.get("text") or row["long"]
            found = screen(text, clean(Prompt.of(text))[1], tokenizer.count(text))
            flagged += [row["id"]] if found.signals else []
    assert flagged == []
