"""Cross-attention's keys and values of a text, made once and lent to every step.

In ``WanTransformer3DModel`` neither the projected text (``condition_embedder.text_embedder``) nor a block's keys and
values of it (``attn2.to_k``, ``norm_k``, ``to_v``) depend on the noise level, so a step that takes them ready-made has
the bits of one that makes them anew. Every expert has projections of its own.

Folded, the padding is one row: all padded positions share one key and one value, so the real rows and one padded row
whose score gets ``log(window - tokens)`` attend as the whole padded window does, up to rounding. Cutting the padding off
instead changes the video: the model was trained with it in sight.

One expert serves one thread at a time: what is lent lies on its attention processors while it runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextKV:
    """A key and a value tensor for each block, (1, rows, heads, head width), and what is added to the scores of each
    row, (1, 1, 1, rows) or None for nothing.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor | None = None

    @property
    def nbytes(self) -> int:
        held = (*self.keys, *self.values) if self.bias is None else (*self.keys, *self.values, self.bias)
        return sum(tensor.nbytes for tensor in held)


class TextAttention(WanAttnProcessor):
    """Cross-attention that reads ``key`` and ``value`` where they are lent, makes them of the text where only a ``bias`` is,
    and is diffusers' own where nothing is.

    They are attributes and tensors, so that a compiled expert is not compiled again for another prompt.
    """

    key: Tensor | None = None
    value: Tensor | None = None
    bias: Tensor | None = None
    # The same for a batch: how many videos one after the other read which text.
    shared: tuple[tuple[int, Tensor, Tensor, Tensor | None], ...] = ()

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        key, value = self.key, self.value
        if not self.shared and (key is None or value is None):
            if self.bias is None or encoder_hidden_states is None:
                return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
            key, value = _project(attn, encoder_hidden_states)
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        found = torch.cat([*self._each(query)]) if self.shared else self._attend(query, key, value, self.bias)
        return attn.to_out[1](attn.to_out[0](found.flatten(2, 3).type_as(query)))

    def _each(self, query: Tensor) -> Iterator[Tensor]:
        """Videos that read one text are one long row of queries, each of which attends for itself: so nothing is copied, and
        texts of different lengths (folded ones) need no padding.
        """
        parts = query.split([videos for videos, *_ in self.shared])
        for part, (_, key, value, bias) in zip(parts, self.shared, strict=True):
            found = self._attend(part.flatten(0, 1).unsqueeze(0), key, value, bias)
            yield found.unflatten(1, part.shape[:2]).squeeze(0)

    def _attend(self, query: Tensor, key: Tensor | None, value: Tensor | None, bias: Tensor | None) -> Tensor:
        found: Tensor = dispatch_attention_fn(
            query, key, value, attn_mask=bias, backend=self._attention_backend, parallel_config=None
        )
        return found


def install(expert: WanTransformer3DModel) -> None:
    """Puts a `TextAttention` into every block of ``expert``; again is no change. Until something is lent, the expert
    computes what it did.

    Raises ``ValueError`` where cross-attention is not the plain one: it also reads an image, or somebody replaced it.
    """
    for block in expert.blocks:
        attn = block.attn2
        if isinstance(attn.processor, TextAttention):
            continue
        if type(attn.processor) is not WanAttnProcessor or attn.add_k_proj is not None:
            raise ValueError(
                "text keys and values can be lent to plain text cross-attention only: set text_kv to false"
            )
        ours = TextAttention()
        ours._attention_backend, ours._parallel_config = (
            attn.processor._attention_backend,
            attn.processor._parallel_config,
        )
        attn.set_processor(ours)


def project(expert: WanTransformer3DModel, states: Tensor, bias: Tensor | None = None) -> TextKV:
    """Keys and values of ``states``, (1, rows, text width), by the very modules that a step would run on them."""
    projected = expert.condition_embedder.text_embedder(states)
    keys, values = zip(*(_project(block.attn2, projected) for block in expert.blocks), strict=True)
    return TextKV(keys=keys, values=values, bias=bias)


def folded(expert: WanTransformer3DModel, real: Tensor, window: int) -> TextKV:
    """As `project` of ``real``, (1, tokens, text width), padded with zeros to ``window`` rows, with the padding as one
    row.
    """
    return project(expert, *fold(real, window))


def fold(real: Tensor, window: int) -> tuple[Tensor, Tensor | None]:
    """``real`` and one row for its padding, (1, tokens + 1, text width), and the bias of its scores; ``real`` itself and None
    where nothing is padded.
    """
    tokens = real.shape[1]
    if tokens == window:
        return real, None
    bias = real.new_zeros(1, 1, 1, tokens + 1)
    bias[..., -1] = math.log(window - tokens)
    return torch.cat([real, real.new_zeros(1, 1, real.shape[2])], dim=1), bias


@contextmanager
def lent(expert: WanTransformer3DModel, kv: TextKV) -> Iterator[None]:
    """``expert``, after `install`, reads ``kv`` for as long as the block lasts, whatever text it is given."""
    processors = [block.attn2.processor for block in expert.blocks]
    try:
        for processor, key, value in zip(processors, kv.keys, kv.values, strict=True):
            processor.key, processor.value, processor.bias = key, value, kv.bias
        yield
    finally:
        for processor in processors:
            processor.key = processor.value = processor.bias = None


@contextmanager
def lent_many(expert: WanTransformer3DModel, texts: Sequence[tuple[int, TextKV]]) -> Iterator[None]:
    """As `lent`, for a batch: the first so many of its videos read the first text, the next so many the second."""
    processors = [block.attn2.processor for block in expert.blocks]
    try:
        for layer, processor in enumerate(processors):
            processor.shared = tuple((videos, kv.keys[layer], kv.values[layer], kv.bias) for videos, kv in texts)
        yield
    finally:
        for processor in processors:
            processor.shared = ()


@contextmanager
def biased(expert: WanTransformer3DModel, bias: Tensor | None) -> Iterator[None]:
    """``expert``, after `install`, makes keys and values of the text that it is given, and adds ``bias`` to their scores, for
    as long as the block lasts."""
    processors = [block.attn2.processor for block in expert.blocks]
    try:
        for processor in processors:
            processor.bias = bias
        yield
    finally:
        for processor in processors:
            processor.bias = None


def kv_bytes(config: Any, rows: int, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of ``rows`` rows for one expert with this diffusers configuration."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return int(config["num_layers"] * 2 * rows * width * dtype.itemsize)


def _project(attn: WanAttention, projected: Tensor) -> tuple[Tensor, Tensor]:
    """As the first lines of diffusers' ``WanAttnProcessor``; fused projections are one matrix."""
    if attn.fused_projections:
        key, value = attn.to_kv(projected).chunk(2, dim=-1)
        value = value.contiguous()  # a view would keep the keys' half of the matrix in memory
    else:
        key, value = attn.to_k(projected), attn.to_v(projected)
    heads = (attn.heads, -1)
    return attn.norm_k(key).unflatten(2, heads), value.unflatten(2, heads)
