"""Trains the byte-level BPE on text of the grammar and writes it as BartTokenizerFast reads it.

python -m preprocess_service.training.tokenizer
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tokenizers import ByteLevelBPETokenizer
from transformers import BartTokenizerFast

from . import state
from .common import COMMON
from .invent import ing, third
from .model import POSITIONS, VOCABULARY
from .pairs import pair
from .words import MANNERS, MOODS, PRAISE, WORDS

TEXTS, OFTEN = 6_000, 60
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
FOLDER = "tokenizer"


def corpus(random: Random) -> Iterator[str]:
    """Scenes, and every word of the lists in its forms, so often that it outweighs syllables of invented words."""
    for _ in range(TEXTS):
        yield pair(random, random.randint(2, 5)).verbose
    for word in dict.fromkeys((*WORDS, *COMMON, *PRAISE, *MANNERS, *MOODS)):
        yield f" {word}" * OFTEN
        yield f"{word.capitalize()} {ing(word)} {third(word)}"


def train(folder: Path) -> None:
    """Write the tokenizer's files into ``folder``."""
    bpe: Any = ByteLevelBPETokenizer()
    bpe.train_from_iterator(corpus(Random(0)), vocab_size=VOCABULARY, min_frequency=2, special_tokens=SPECIALS)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save_model(str(folder))
    wrapped = BartTokenizerFast(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=POSITIONS
    )
    wrapped.save_pretrained(folder)


def load() -> Any:
    """The trained tokenizer (tokenizers' own object). Trains it first where it is not there yet."""
    folder = state.folder() / FOLDER
    if not (folder / "tokenizer.json").is_file():
        train(folder)
    return BartTokenizerFast.from_pretrained(folder).backend_tokenizer


if __name__ == "__main__":
    print(load().get_vocab_size())
