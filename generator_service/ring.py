"""Self-attention over tokens that several processes share, by keys and values that go around them (ring attention; Liu, Zaharia and
Abbeel 2023).

Each process keeps its queries. It attends to the keys and values that it has, hands them to the next process while it does so, and goes on
with those of the one before, until it has seen all; partial results are joined by the logarithm of their softmax's sum. So nobody
holds more than two shares of keys and values, heads need not divide, and what is exchanged hides behind what is computed. diffusers'
own ring gathers all keys and values first, and has no such kernel on a CPU.
"""

from __future__ import annotations

import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor, _get_qkv_projections
from torch import Tensor, distributed

Rotary = tuple[Tensor, Tensor]


class RingAttention(WanAttnProcessor):
    """In the place of ``WanAttnProcessor`` on self-attention, in every process of the default group. ``_attention_backend`` is the
    kernel, native or cuDNN's."""

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Rotary | None = None,
    ) -> Tensor:
        """``hidden_states`` are this process's share, (1, tokens, width), and so is what comes back."""
        if attention_mask is not None:
            raise ValueError("a ring takes no mask")
        query, pair = self._heads(attn, hidden_states, encoder_hidden_states, rotary_emb)
        found = around(query, pair, cudnn=self._attention_backend == AttentionBackendName._NATIVE_CUDNN)
        return attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2, 3).type_as(hidden_states)))

    @staticmethod
    def _heads(
        attn: WanAttention, hidden_states: Tensor, encoder_hidden_states: Tensor | None, rotary: Rotary | None
    ) -> tuple[Tensor, Tensor]:
        """As `around` takes them; whatever else they were is let go here."""
        query, key, value = _get_qkv_projections(attn, hidden_states, encoder_hidden_states)
        heads = [each.unflatten(2, (attn.heads, -1)) for each in (attn.norm_q(query), attn.norm_k(key), value)]
        if rotary is not None:
            heads[:2] = [rotated(each, *rotary) for each in heads[:2]]
        query, key, value = (each.transpose(1, 2) for each in heads)
        return query.contiguous(), torch.stack([key, value])


def around(query: Tensor, pair: Tensor, *, cudnn: bool = False) -> Tensor:
    """Attention of ``query``, (batch, heads, own tokens, head width), over the keys and values of all processes, of which ``pair`` are
    this one's, (2, batch, heads, own tokens, head width). In fp32."""
    found, weight = (
        query.new_zeros(query.shape, dtype=torch.float32),
        query.new_full(query.shape[:3], -torch.inf).float(),
    )
    for left in reversed(range(distributed.get_world_size())):
        coming, works = _passed_on(pair) if left else (pair, [])
        part, log_sum = attended(query, *pair, cudnn=cudnn)
        # Of exp(weight) and exp(log_sum), the share of the latter; neither may be raised by itself.
        found.lerp_(part.float(), torch.sigmoid(log_sum - weight).unsqueeze(-1))
        weight = torch.logaddexp(weight, log_sum)
        for work in works:
            work.wait()
        pair = coming
    return found


def attended(query: Tensor, key: Tensor, value: Tensor, *, cudnn: bool = False) -> tuple[Tensor, Tensor]:
    """Attention over these keys alone, and the natural logarithm of each query's softmax sum in fp32, (batch, heads, tokens). torch's own
    kernels, by the names that give both."""
    ops = torch.ops.aten
    if query.device.type == "cpu":
        found, log_sum = ops._scaled_dot_product_flash_attention_for_cpu(query, key, value)
    elif cudnn:
        found, log_sum, *_ = ops._scaled_dot_product_cudnn_attention(query, key, value, None, True)
        # From torch 2.9 on, it is (batch, heads, tokens, 1).
        log_sum = log_sum.flatten(2)
    elif query.dtype == torch.float32:
        found, log_sum, *_ = ops._scaled_dot_product_efficient_attention(query, key, value, None, True)
        # It comes in blocks of 32 tokens.
        log_sum = log_sum[..., : query.shape[2]]
    else:
        found, log_sum, *_ = ops._scaled_dot_product_flash_attention(query, key, value)
    return found, log_sum


def rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """``heads``, (1, tokens, heads, head width), each pair of numbers turned by its position (Su et al. 2021), as ``WanAttnProcessor``
    does, whose tables name each angle twice."""
    even, odd = heads.unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = cosines[..., 0::2], sines[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2).type_as(heads)


def _passed_on(pair: Tensor) -> tuple[Tensor, list[distributed.Work]]:
    """Where what the process before sends will be, once all that is returned has been waited for; until then ``pair`` is being sent."""
    rank, size, coming = distributed.get_rank(), distributed.get_world_size(), torch.empty_like(pair)
    ops = [
        distributed.P2POp(distributed.isend, pair, (rank + 1) % size),
        distributed.P2POp(distributed.irecv, coming, (rank - 1) % size),
    ]
    return coming, distributed.batch_isend_irecv(ops)
