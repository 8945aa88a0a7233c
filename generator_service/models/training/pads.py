"""Wan's text padding without its cost, for training.

Wan pads the text states with zeros to 512 positions and attends to all of them. All pads share one key and one value, so one
pad position with an additive log(512 - n) on its attention logit equals them (design: folding; to 2e-6 in fp32, a test holds it).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor

TEXT_POSITIONS = 512


class FoldedPads:
    """Cross-attention processor that adds ``bias`` (batch, 1, 1, length + 1) to the logits of text and pad positions."""

    def __init__(self) -> None:
        self.inner = WanAttnProcessor()
        self.bias: Tensor | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, mask: Any, rope: Any) -> Tensor:
        out: Tensor = self.inner(attn, hidden_states, encoder_hidden_states, self.bias, None)
        return out


def fold(transformer: WanTransformer3DModel) -> FoldedPads:
    """Give every cross-attention one shared processor, whose ``bias`` is set before each forward pass."""
    processor = FoldedPads()
    for block in transformer.blocks:
        block.attn2.set_processor(processor)
    return processor


def collate(states: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Text states (length_i, dim) to a batch (n, longest + 1, dim) with one pad position last, and its logit bias."""
    longest = max(len(s) for s in states)
    batch = torch.zeros(len(states), longest + 1, states[0].shape[-1])
    bias = torch.full((len(states), 1, 1, longest + 1), -math.inf)
    for i, s in enumerate(states):
        batch[i, : len(s)] = s
        bias[i, ..., : len(s)] = 0.0
        bias[i, ..., longest] = math.log(TEXT_POSITIONS - len(s))
    return batch, bias
