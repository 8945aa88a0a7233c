"""How well a model copies words that it has never seen, and drops what is filler: teacher-forced and free, on pairs held out."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from .batches import IGNORED, collate
from .pairs import Pair, pair, words

HELD_OUT = 1_000_003
"""Seed of the pairs that are judged; training draws from the seeds of its steps."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Shares of the target's tokens that are the model's first choice, given those before: unrelated words, then scenes."""

    words: float
    scenes: float

    def __str__(self) -> str:
        return f"first choice right: unrelated words {self.words:.4f}, scenes {self.scenes:.4f}"


def copied(model: Any, tokenizer: Any, count: int = 48) -> Score:
    """Of ``count`` rows of 20 unrelated words, and as many scenes of 4 sentences."""
    random = Random(HELD_OUT)
    rows = [words(random, 20) for _ in range(count)]
    scenes = [pair(random, 4) for _ in range(count)]
    return Score(words=right(model, tokenizer, rows), scenes=right(model, tokenizer, scenes))


@torch.inference_mode()
def right(model: Any, tokenizer: Any, pairs: list[Pair]) -> float:
    """Share of the target's tokens, marks included, that come first."""
    batch = collate([(tokenizer.encode(p.verbose).ids, tokenizer.encode(p.terse).ids) for p in pairs])
    logits = model(input_ids=batch.source, attention_mask=batch.mask, labels=batch.target).logits
    counted = batch.target != IGNORED
    return float((logits.argmax(-1) == batch.target)[counted].float().mean())
