"""Counts are what the encoder reads."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.app import load_lines
from preprocess_service.settings import Settings, embedded_tokenizer

MODEL = Path(__file__).resolve().parents[2] / "generator_service" / "models" / "embedded"
SENTENCES = [
    "A red ball rolls to the left over green grass.",
    "Two dogs run along the beach at sunset, wide shot.",
    "一只黑色的小猫在雪地里奔跑，镜头缓缓推近。",
    "The camera pans right over a quiet harbour with three boats.",
] * 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throwaway sentencepiece model with byte fallback."""
    folder = tmp_path_factory.mktemp("pieces")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(folder / "spiece"),
        vocab_size=380,
        byte_fallback=True,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return folder / "spiece.model"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_the_count_is_the_engine_s_ids_less_the_end_mark(text: str) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(embedded_tokenizer()))
    assert tokens.load(embedded_tokenizer()).count(text) == len([*pieces.encode(text), pieces.eos_id()]) - 1


def test_a_trained_model_counts_and_maps(trained: Path) -> None:
    counter = tokens.load(trained)
    text = "A red 🙂 ball, 一只猫"
    offsets = counter.offsets(text)
    assert len(offsets) == counter.count(text)
    assert max(end for _, end in offsets) == len(text)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)


def test_of_a_folder_the_file_is_taken_that_the_generator_takes(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    shutil.copy(MODEL / "tokenizer" / "tokenizer.json", tmp_path / "tokenizer")
    of_json = tokens.load(tmp_path).fingerprint
    shutil.copy(trained, tmp_path / "tokenizer" / "spiece.model")
    for named in (tmp_path, tmp_path / "tokenizer"):
        assert tokens.load(named).fingerprint == tokens.load(trained).fingerprint != of_json
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="neither"):
        tokens.load(tmp_path / "empty")


def test_the_embedded_tiers_tokenizer_is_there_beside_those_that_are_named(trained: Path) -> None:
    given_ = Settings(tokenizers={"own": trained}).tokenizers
    assert given_ == {"embedded": embedded_tokenizer(), "own": trained}
    assert Settings(tokenizers={"embedded": trained}).tokenizers == {"embedded": trained}
    with pytest.raises(ValueError, match="REELGATE_PREPROCESS_TOKENIZERS"):
        load_lines(Settings(default_tier="own"))


def test_both_kinds_of_file_agree(data: Path) -> None:
    path = data / "tokenizers" / "t5-umt5-proxy" / "tokenizer.json"
    reference = tokenizers.Tokenizer.from_file(str(path))
    text = "Subtle natural portrait motion. Stable face and identity."
    assert tokens.load(path).count(text) == len(reference.encode(text).ids) - 1


def test_the_fingerprint_ignores_layout_and_nothing_else(tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{n}.json" for n in "123")
    one.write_text(json.dumps({"a": 1, "b": [1, 2]}))
    two.write_text(json.dumps({"b": [1, 2], "a": 1}, indent=4))
    three.write_text(json.dumps({"b": [2, 1], "a": 1}))
    assert tokens.fingerprint_of(one) == tokens.fingerprint_of(two) != tokens.fingerprint_of(three)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"neither a tokenizer\.json nor"):
        tokens.load(path)


def test_threads_count_the_same(tokenizer: tokens.Tokenizer) -> None:
    texts = [f"{sentence} take {n}" for n, sentence in enumerate(SENTENCES)]
    expected = [tokenizer.count(text) for text in texts]
    fresh = tokens.load(embedded_tokenizer())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fresh.count, texts)) == expected
