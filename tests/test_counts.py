"""What preprocess_service counts is what the engine feeds its text encoder: the attention mask less the end mark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generator_service import text
from preprocess_service import tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ODD = ("</s>", "a\u0301\u200d🙂 café", "没有突然", " two  spaces ", "A" * 500, "\u202ea[[b]]", "<pad> <unk> <0x41>")


@pytest.mark.parametrize("given", ODD)
def test_odd_texts_are_counted_as_the_engine_feeds_them(given: str) -> None:
    engine = text.PieceTokenizer(embedded_tokenizer())
    assert tokens.load(embedded_tokenizer()).count(given) == len(engine.ids(given)) - 1


@pytest.mark.parametrize("name", ["embedded", "t5-umt5-proxy"])
def test_real_prompts_are_counted_as_the_engine_feeds_them(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip("the shared data is not at ../shared/data")
    path = embedded_tokenizer() if name == "embedded" else DATA / "tokenizers" / name / "tokenizer.json"
    engine = text.PieceTokenizer(path) if name == "embedded" else text.JsonTokenizer(path)
    line = Line(tokenizer=tokens.load(path))
    rows = [
        json.loads(raw)
        for file in sorted((DATA / "prompts").glob("*.jsonl"))
        for raw in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len(rows) > 5_000
    # Every fifth row: all of them with both tokenizers take more than a minute.
    for row in rows[::5]:
        made = line.prepare(Request(text=row.get("text") or row["long"]))
        assert made.receipt.tokens_after == len(engine.ids(made.prompt)) - 1 <= made.receipt.target, row["id"]
