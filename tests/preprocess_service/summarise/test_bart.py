"""BART on a small random checkpoint: it loads, keeps its length, and a failure of it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preprocess_service import tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import LINE_VERSION, Line
from preprocess_service.settings import embedded_tokenizer
from preprocess_service.summarise import bart as barts
from preprocess_service.summarise.bart import Bart, lengths, load
from preprocess_service.summarise.runtime import CTranslate2, Ids

from .small_bart import texts

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = pytest.mark.timeout(300)


def test_the_length_is_bounded_by_the_ratio() -> None:
    assert lengths(100, 0.7) == (60, 70)
    assert lengths(100, 0.1) == (50, 60)
    assert lengths(100, 1.0) == (70, 80)


@pytest.mark.parametrize("ratio", [0.6, 0.7, 0.8])
def test_no_size_passes_the_ratio(ratio: float) -> None:
    for size in range(1, 1025):
        shortest, longest = lengths(size, ratio)
        assert 1 <= shortest <= longest <= max(2, size * ratio)


@pytest.mark.parametrize("backend", ["ctranslate2", "transformers"])
def test_a_checkpoint_writes_within_its_length(checkpoint: Path, cache: Path, backend: barts.Backend) -> None:
    bart = load(str(checkpoint), backend=backend, beams=2, threads=1, cache=cache)
    (text,) = texts(1)
    shortest, longest = lengths(len(bart._runtime.tokenizer.encode(text).ids), 0.7)
    assert shortest <= len(bart.ids(text, 0.7)) <= longest
    assert bart.shorten(text, 0.7) == bart.shorten(text, 0.7)
    bart.close()


def test_under_load_every_prompt_becomes_what_it_becomes_alone(checkpoint: Path, cache: Path) -> None:
    runtime = CTranslate2(checkpoint, compute="int8", beams=4, threads=1, cache=cache)
    one_by_one = Bart(runtime, batch=1)
    batches = []

    def work(rows: Sequence[Ids], shortest: int, longest: int) -> list[Ids]:
        batches.append(len(rows))
        return runtime.generate(rows, shortest, longest)

    class Counting:
        version, facts, tokenizer, generate = runtime.version, runtime.facts, runtime.tokenizer, staticmethod(work)

    shared = Bart(Counting(), queue=64)
    prompts = texts(25, seed=3) * 8
    alone = [one_by_one.shorten(text, 0.7) for text in prompts]
    with ThreadPoolExecutor(max_workers=32) as pool:
        assert list(pool.map(lambda text: shared.shorten(text, 0.7), prompts)) == alone
    assert max(batches) > 1
    assert sum(batches) == len(prompts)
    one_by_one.close()
    shared.close()


def test_a_prompt_past_the_window_is_refused(checkpoint: Path, cache: Path) -> None:
    bart = load(str(checkpoint), beams=1, threads=1, cache=cache)
    with pytest.raises(ValueError, match="window"):
        bart.shorten("red ball " * 600, 0.7)
    bart.close()


def test_what_a_model_invents_is_discarded_and_the_receipt_names_the_model(checkpoint: Path, cache: Path) -> None:
    bart = load(str(checkpoint), beams=1, threads=1, cache=cache)
    line = Line(tokenizer=tokens.load(embedded_tokenizer()), rewriter=bart)
    text = "A small red ball on the grass. " * 9
    receipt = line.prepare(Request(text=text)).receipt
    assert receipt.method == "extractive"
    assert any(note.startswith("rewriter_") for note in receipt.notes)
    assert receipt.line_version == f"{LINE_VERSION}+{bart.version}"
    assert "ct2-" in receipt.line_version
    bart.close()


class Failing:
    """A rewriter whose model is broken."""

    version = "failing"

    def shorten(self, text: str, ratio: float) -> str:
        raise RuntimeError("no memory")


class Halving:
    """A rewriter that keeps the first sentences: a faithful one as long as nothing mandatory stands behind."""

    version = "halving"

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


def test_serving_on_ctranslate2_never_imports_torch_even_where_it_converts(checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from preprocess_service.summarise.bart import load;"
        "load(sys.argv[1], beams=1, threads=1, cache=Path(sys.argv[2])).shorten('a red ball rolls', 0.7);"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(checkpoint), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0
