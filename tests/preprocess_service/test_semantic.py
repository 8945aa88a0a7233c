"""The sentence encoder: transformers is its oracle, the receipt its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess_service import semantic, tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer

WORDS = ("a", "red", "ball", "rolls", "over", "green", "grass", "the", "dog", "runs", "fast", "under", "tree", "river")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights, saved as a folder."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = {
        name: i for i, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS)])
    }
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.5,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def similarity(source: Path, tmp_path_factory: pytest.TempPathFactory) -> semantic.Similarity:
    return semantic.load(str(source), cache=tmp_path_factory.mktemp("cache"))


def test_the_score_is_the_cosine_of_mean_states_of_transformers(source: Path, similarity: semantic.Similarity) -> None:
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)

    def embed(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            return torch.nn.functional.normalize(model(ids).last_hidden_state[0].mean(0), dim=0)

    before, after = "a red ball rolls over green grass", "the dog runs fast"
    assert similarity.score(before, after) == pytest.approx(float(embed(before) @ embed(after)), abs=1e-4)
    assert similarity.score(before, before) == pytest.approx(1.0, abs=1e-5)


def test_only_shortened_english_prompts_have_a_score(similarity: semantic.Similarity, long_prompt: str) -> None:
    line = Line(tokenizer=tokens.load(embedded_tokenizer()), similarity=similarity)
    scored = line.prepare(Request(text=long_prompt)).receipt.fidelity.semantic
    assert scored is not None
    assert -1 <= scored <= 1
    assert line.prepare(Request(text="a red ball")).receipt.fidelity.semantic is None
    assert line.prepare(Request(text="一只红色的小猫在雪地里奔跑，" * 30)).receipt.fidelity.semantic is None
    assert similarity.version in line.versions


def test_a_model_that_fails_refuses_nothing(long_prompt: str) -> None:
    class Broken:
        version = "broken"

        def score(self, before: str, after: str) -> float:
            raise RuntimeError("no")

    receipt = (
        Line(tokenizer=tokens.load(embedded_tokenizer()), similarity=Broken())
        .prepare(Request(text=long_prompt))
        .receipt
    )
    assert receipt.fidelity.semantic is None
    assert "semantic_failed:RuntimeError" in receipt.notes


def test_a_model_that_is_not_there_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights|checkpoint"):
        semantic.load(str(tmp_path))
