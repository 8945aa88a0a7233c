"""The embedded vocabulary: one set of ids from both libraries, and counts that make sense in English and Chinese."""

from __future__ import annotations

import json
import random
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import sentencepiece as spm
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from generator_service.models.training import tokenizer as training
from generator_service.models.training.corpus import compose

PROMPTS = training.REPOSITORY.parent / "shared/data/prompts"
WORLD = """red green blue yellow white purple black grey gray circle ball disc sphere orb ring hoop donut band loop cross
plus sign bar column pillar stick post balls rings bars crosses left right up down still grow grows growing larger bigger
closer comes coming rises rising falls falling drifts drifting moves moving slides sliding glides gliding floats floating
sinks sinking climbs swells expands approaches background backdrop sky grass lawn field night camera motionless stationary
upright toward upward downward"""
AWKWARD = [
    "", "  ", " a", " a ", "a  b", "a\n\nb\t c", "line one\nline two", "\r\n", "a\r\nb",
    "\x00", "a\x00b", "\x01a", "a \x01 b",
    "<", "<<", "a<b", "<0x41>", "<0x0A>", "</s>", "<s>x</s>", "<pad>", "<unk>", "a </s> b", "▁", "▁a", "a▁b", " ▁ a", "▁▁",
    "ＡＢＣ１２３，。", "Ａ\u0301", "A\u0331B", "e\u0301", "É", "İ", "ΣΑΣ", "ǅ", "ß", "ﬁ", "½", "①", "“x”…—", "don't", "MiXeD CaSe",
    "👨‍👩‍👧‍👦", "❤️", "1️⃣", "🇨🇳", "🙂🙂", "Z̷̛a", "한국어", "مرحبا", "ไทยกำ", "\ufeffabc", "a\u200bb", "a\u00adb", "\u202eabc\u202c",
    "\ufffd", "\U0010ffff", "\u2028", "\x85", "\u3000红\u3000", "的的的的的的的", "a" * 60, "x" * 300 + " y",
]  # fmt: skip


class Both:
    """The two counters over the committed files."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer

        self.pieces = spm.SentencePieceProcessor(model_file=str(training.COUNTING_COPY))
        self.served: Any = AutoTokenizer.from_pretrained(str(training.FOLDER))
        self.bare = Tokenizer.from_file(str(training.FOLDER / "tokenizer.json"))

    def unequal(self, texts: list[str]) -> list[str]:
        """The texts on which sentencepiece, transformers and the bare tokenizer.json do not all agree."""
        expected = [[*ids, self.pieces.eos_id()] for ids in self.pieces.encode(texts)]
        served = self.served(texts, verbose=False)["input_ids"] if texts else []
        bare = [encoding.ids for encoding in self.bare.encode_batch(texts)]
        return [text for text, a, b, c in zip(texts, expected, served, bare, strict=True) if not a == b == c]


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


@pytest.fixture(scope="module")
def prompts() -> dict[str, list[str]]:
    """100 prompts in each language; every one of the 6,000 has been compared once when the vocabulary was made."""
    if not PROMPTS.is_dir():
        pytest.skip("the shared prompts are not beside this checkout (../shared/data/prompts)")
    rows = [
        json.loads(line)
        for path in sorted(PROMPTS.glob("*.jsonl"))
        for line in path.read_text("utf-8").split("\n")
        if line
    ]
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(row["lang"], []).append(row.get("long") or row["text"])
    return {lang: random.Random(0).sample(found, min(100, len(found))) for lang, found in texts.items()}


def test_ids_are_equal_on_awkward_text(both: Both) -> None:
    assert both.unequal(AWKWARD) == []


def test_ids_are_equal_on_the_corpus(both: Both) -> None:
    assert both.unequal(compose.english()[::16] + compose.chinese()[::16] + compose.world(60)) == []


def test_ids_are_equal_on_real_prompts(both: Both, prompts: dict[str, list[str]]) -> None:
    assert both.unequal([text for texts in prompts.values() for text in texts]) == []


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.text("aA <>/s0x1▁\u0301\u200d红 \n")
)
def test_ids_are_equal_on_any_text(both: Both, text: str) -> None:
    assert both.unequal([text]) == []


def test_the_counting_copy_is_the_served_model() -> None:
    served = (training.FOLDER / "spiece.model").read_bytes()
    assert training.COUNTING_COPY.read_bytes() == served


def test_the_committed_files_follow_from_the_committed_sources(tmp_path: Path) -> None:
    training.write(tmp_path, (training.FOLDER / "spiece.model").read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((training.FOLDER / name).read_text()), name
    assert (compose.HERE / "en.txt").read_text("utf-8").splitlines() == compose.english()
    assert (compose.HERE / "zh.txt").read_text("utf-8").splitlines() == compose.chinese()


def test_special_ids_are_those_of_umt5_and_never_read_from_text(both: Both) -> None:
    served = both.served
    ids = (served.pad_token_id, served.eos_token_id, served.bos_token_id, served.unk_token_id)
    assert ids == (0, 1, 2, 3)
    assert len(served) == both.pieces.get_piece_size()
    assert set(served("</s> <pad> <s> <unk> <0x41>")["input_ids"][:-1]).isdisjoint(range(3 + 1 + 256))


def test_padding_and_mask_count_the_end_mark(both: Both) -> None:
    batch = both.served(["A red ball", ""], padding="max_length", max_length=512, truncation=True)
    assert [sum(mask) - 1 for mask in batch["attention_mask"]] == [len(both.pieces.encode("A red ball")), 0]
    assert {len(ids) for ids in batch["input_ids"]} == {512}


def test_words_of_the_world_are_single_pieces(both: Both) -> None:
    assert [word for word in WORLD.split() if len(both.pieces.encode(word)) != 1] == []


def test_decoding_gives_the_lowered_text_back(both: Both) -> None:
    text = "a red ball, 红色的球 耸立 😀 left."
    assert both.served.decode(both.served(text.upper())["input_ids"], skip_special_tokens=True) == text
    assert both.pieces.decode(both.pieces.encode(text.upper())) == text


def test_real_prompts_cost_a_sensible_number_of_pieces(both: Both, prompts: dict[str, list[str]]) -> None:
    pieces = both.pieces
    english, chinese = (list(chain.from_iterable(pieces.encode(prompts[lang]))) for lang in ("en", "zh"))
    words = sum(len(text.split()) for text in prompts["en"])
    characters = sum(len(re.sub(r"\s", "", text)) for text in prompts["zh"])
    in_bytes = sum(map(pieces.is_byte, chinese)) / 3 / characters
    print(
        f"English {len(english) / words:.2f} pieces a word; Chinese {len(chinese) / characters:.2f} a character, ",
        end="",
    )
    print(f"{in_bytes:.1%} of the characters as bytes")
    assert len(english) / words < 1.9
    assert len(chinese) / characters < 1.15
    assert in_bytes < 0.07
    assert sum(map(pieces.is_byte, english)) / len(english) < 0.005
