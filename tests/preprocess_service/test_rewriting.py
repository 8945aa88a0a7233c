"""BART in the service: warm before it serves, part of every answer's version, at rest when the service has stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from preprocess_service.pipeline import LINE_VERSION, Line, rewritable
from preprocess_service.tokens import Tokenizer

from .summarise.small_bart import save
from .test_preparer import prepare, served

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = pytest.mark.timeout(300)


async def test_a_service_with_bart_answers_by_its_version_and_leaves_no_thread(
    tmp_path: Path, long_prompt: str
) -> None:
    pytest.importorskip("transformers")
    source = save(tmp_path / "source")
    options = {"bart": str(source), "bart_beams": 1, "bart_threads": 1, "bart_cache": tmp_path / "cache"}
    async with served(**options) as (_, stub):
        answer = await prepare(stub, long_prompt)
        assert answer.receipt.line_version.startswith(f"{LINE_VERSION}+ct2-")
        assert any("rewriter_" in note for note in answer.receipt.warnings)
        assert [thread for thread in threading.enumerate() if thread.name == "bart"]
    assert not [thread for thread in threading.enumerate() if thread.name == "bart"]


class Named:
    """A rewriter of some version that leaves everything as it is."""

    def __init__(self, version: str) -> None:
        self.version = version

    def shorten(self, text: str, ratio: float) -> str:
        return text


def test_another_rewriter_is_another_key(tokenizer: Tokenizer) -> None:
    rewriters = [None, Named("ct2-int8"), Named("transformers")]
    assert len({Line(tokenizer=tokenizer, rewriter=rewriter).versions for rewriter in rewriters}) == 3


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("A red ball rolls over the grass in front of a house, filmed from the tables of a café.", True),
        ("A red ball rolls over the grass in front of a house, filmed from the left. " * 9 + "红", False),
        ("一只红色的小猫在雪地里奔跑。", False),
        ("Ein grüner Käfer läuft über müde Blätter.", False),
        ("3, 4, 5", False),
    ],
)
def test_only_english_letters_reach_the_rewriter(text: str, english: bool) -> None:
    assert rewritable(text) is english
