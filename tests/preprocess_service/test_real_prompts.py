"""What holds for every real prompt: what must survive does or is named, nothing is invented, the same text gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preprocess_service import tokens
from preprocess_service.clean import clean
from preprocess_service.core import Prompt, Request
from preprocess_service.pipeline import Line
from preprocess_service.protect import Protector
from preprocess_service.summarise.units import words_of

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = sorted((DATA / "prompts").glob("*.jsonl")) or [DATA]


@pytest.fixture(scope="module", params=["t5-umt5-proxy", "bart-large-cnn"])
def real_line(request: pytest.FixtureRequest, data: Path) -> Line:
    return Line(tokenizer=tokens.load(data / "tokenizers" / request.param / "tokenizer.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_real_prompt(path: Path, real_line: Line) -> None:
    if not path.is_file():
        pytest.skip("the shared data is not at ../shared/data")
    rows = [json.loads(raw) for raw in path.read_text(encoding="utf-8").splitlines()]
    for n, row in enumerate(rows):
        text = row.get("text") or row["long"]
        made = real_line.prepare(Request(text=text))
        cleaned = clean(Prompt.of(text))[0].text
        kept(cleaned, made.prompt, made.receipt.fidelity.reasons)
        assert not [reason for reason in made.receipt.fidelity.reasons if reason.startswith("invented")]
        assert vocabulary(made.prompt) <= vocabulary(cleaned)
        assert all(text[c.start : c.end] == c.original for c in made.receipt.changes)
        assert made.receipt.tokens_after == real_line.tokenizer.count(made.prompt) <= made.receipt.target
        if n % 10 == 0:
            assert real_line.prepare(Request(text=text)).prompt == made.prompt


def vocabulary(text: str) -> set[str]:
    """The words of a text, hyphens opened: a style ending may be spelt ``ultra-detailed`` for ``ultra detailed``."""
    return {part for word in words_of(text) if not word.mark for part in word.lower.split("-")}


def kept(source: str, prompt: str, reasons: tuple[str, ...]) -> None:
    """Numbers, negations and quotations are in the prompt or named, all of them."""
    for span in Protector().pins(source):
        assert span.text.lower() in prompt.lower() or f"{span.kind}: {span.text}" in reasons
