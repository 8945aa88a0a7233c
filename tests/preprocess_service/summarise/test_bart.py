"""BART on a small random checkpoint: it loads, keeps its length, and a failure of it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preprocess_service import tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer
from preprocess_service.summarise.bart import Bart, lengths

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART of random weights with a byte-level tokenizer, saved as a folder."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bart")
    inner = tokenizers.ByteLevelBPETokenizer()
    inner.train_from_iterator(
        ["a red ball rolls over green grass"] * 9, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>"]
    )
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    wrapped.save_pretrained(folder)
    config = transformers.BartConfig(
        vocab_size=300,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=512,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_the_length_is_bounded_by_the_ratio() -> None:
    assert lengths(100, 0.7) == (60, 70)
    assert lengths(100, 0.1) == (50, 60)
    assert lengths(100, 1.0) == (70, 80)


def test_a_checkpoint_writes_within_its_length(checkpoint: Path, long_prompt: str) -> None:
    bart = Bart(str(checkpoint), beams=2, threads=1)
    text = long_prompt[:60]
    size = len(bart._tokenizer(text)["input_ids"])
    shortest, longest = lengths(size, 0.7)
    assert shortest <= len(bart.ids(text, 0.7)) <= longest
    assert isinstance(bart.shorten(text, 0.7), str)


def test_what_a_model_invents_is_discarded(checkpoint: Path) -> None:
    line = Line(tokenizer=tokens.load(embedded_tokenizer()), rewriter=Bart(str(checkpoint), beams=1, threads=1))
    text = "A small red ball on the grass. " * 9
    receipt = line.prepare(Request(text=text)).receipt
    assert receipt.method == "extractive"
    assert any(note.startswith("rewriter_") for note in receipt.notes)


class Failing:
    """A rewriter whose model is broken."""

    def shorten(self, text: str, ratio: float) -> str:
        raise RuntimeError("no memory")


class Halving:
    """A rewriter that keeps the first sentences: a faithful one as long as nothing mandatory stands behind."""

    def shorten(self, text: str, ratio: float) -> str:
        return text[: int(len(text) * ratio)].rpartition(".")[0] + "."


def test_a_failure_falls_to_choosing_words(long_prompt: str) -> None:
    line = Line(tokenizer=tokens.load(embedded_tokenizer()), rewriter=Failing())
    receipt = line.prepare(Request(text=long_prompt)).receipt
    assert receipt.method == "extractive"
    assert receipt.notes[0] == "rewriter_failed:RuntimeError"


def test_a_faithful_rewrite_is_kept_and_then_fitted(line: Line) -> None:
    text = (
        "A red ball rolls to the left over green grass. " * 3
        + "The wind is warm and the sun is low over the hills. " * 9
    )
    made = Line(tokenizer=line.tokenizer, rewriter=Halving()).prepare(Request(text=text))
    assert made.receipt.method == "bart+extractive"
    assert made.receipt.tokens_after <= 64
    assert all(text[c.start : c.end] == c.original for c in made.receipt.changes)


def test_chinese_never_meets_the_rewriter(line: Line) -> None:
    text = "一只红色的小猫在雪地里奔跑，背景是高山和森林。" * 12
    receipt = Line(tokenizer=line.tokenizer, rewriter=Failing()).prepare(Request(text=text)).receipt
    assert not any(note.startswith("rewriter") for note in receipt.notes)


def test_serving_without_a_model_never_imports_torch() -> None:
    code = "import sys, preprocess_service.app, preprocess_service.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
