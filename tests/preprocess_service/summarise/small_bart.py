"""A BART of random weights with a byte-level tokenizer, made in a moment, saved as a folder."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = [
    "a",
    "red",
    "ball",
    "rolls",
    "over",
    "green",
    "grass",
    "blue",
    "dog",
    "runs",
    "fast",
    "tree",
    "sky",
    "river",
    "old",
    "tower",
]


def save(folder: Path, *, first: int | None = None, seed: int = 0) -> Path:
    """Write the checkpoint. ``first`` is the id that opens every output (bart-large-cnn has one), or None.

    Weights are large enough that outputs differ from input to input.
    """
    import tokenizers
    import torch
    import transformers

    inner = tokenizers.ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    inner.train_from_iterator([" ".join(WORDS)] * 9, vocab_size=300, special_tokens=specials)
    inner._tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    wrapped.save_pretrained(folder)
    config = transformers.BartConfig(
        vocab_size=inner.get_vocab_size(),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=512,
        init_std=0.3,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    torch.manual_seed(seed)
    model = transformers.BartForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = first
    model.save_pretrained(folder)
    return folder


def texts(count: int, *, seed: int = 0) -> list[str]:
    """Random sentences of 5 to 30 words."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(5, 30))) for _ in range(count)]
