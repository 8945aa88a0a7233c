"""The embedded BART: standard layers, small, with positions that are sinusoids and stay so."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from .circuit import incline

VOCABULARY = 4_000
WIDTH, LAYERS, HEADS, INNER = 160, 3, 5, 384
POSITIONS = 1_024
OFFSET = 2
"""BART's position embedding has two rows in front that nothing reads."""
START, PAD, END, UNKNOWN = 0, 1, 2, 3
PLACE = WIDTH // HEADS
"""Dimensions that hold the place; the others begin with the word alone."""


def config() -> BartConfig:
    """Of the shipped model."""
    return BartConfig(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER,
        max_position_embeddings=POSITIONS,
        dropout=0.0,
        bos_token_id=START,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=END,
        forced_bos_token_id=START,
        forced_eos_token_id=END,
        normalize_before=False,
        normalize_embedding=True,
    )


def build() -> BartForConditionalGeneration:
    """A new model. Its position embeddings are sinusoids and take no gradient: what it learns at one position holds at all."""
    model = BartForConditionalGeneration(config())
    torch.nn.init.normal_(model.model.shared.weight, std=WIDTH**-0.5)
    for part in (model.model.encoder, model.model.decoder):
        part.embed_positions.weight.requires_grad_(False)
    shift(model, 0)
    with torch.no_grad():
        model.model.shared.weight[:, :PLACE] *= 0.1
        encoder, decoder = model.model.encoder, model.model.decoder
        incline(encoder.layers[0].self_attn, decoder.layers[-1].encoder_attn, step_back(), PLACE, HEADS)
    return model


def shift(model: BartForConditionalGeneration, source: int, target: int | None = None) -> None:
    """Let the source begin at position ``source`` and the target at ``target`` (both as the source, where it is not given).

    Short examples so train every position; at 0 the model is as it is shipped.
    """
    for part, first in ((model.model.encoder, source), (model.model.decoder, source if target is None else target)):
        part.embed_positions.weight.data = sinusoids()[first : first + POSITIONS + OFFSET]


_TABLE: list[Tensor] = []


def sinusoids() -> Tensor:
    """(2 x POSITIONS + OFFSET, WIDTH): cosine and sine of the position at PLACE / 2 frequencies, then zeros (Vaswani et al. 2017)."""
    if not _TABLE:
        angles = torch.arange(-OFFSET, 2 * POSITIONS, dtype=torch.float32)[:, None] * rates()
        turns = torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)
        _TABLE.append(torch.nn.functional.pad(turns * 2**0.5 * WIDTH**-0.5, (0, WIDTH - PLACE)))
    return _TABLE[0]


def rates() -> Tensor:
    """(PLACE / 2,): radians a position."""
    return torch.exp(torch.arange(0, PLACE, 2) * (-math.log(10_000.0) / PLACE))


def step_back() -> Tensor:
    """(PLACE, PLACE): turns the sinusoids of a position into those of the one before."""
    cos, sin = rates().cos(), rates().sin()
    return torch.block_diag(
        *(torch.stack([torch.stack([c, s]), torch.stack([-s, c])]) for c, s in zip(cos, sin, strict=True))
    )
