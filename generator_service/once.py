"""What both passes of a guided step have in common, made once.

The conditional and the unconditional pass of a step begin with the same latents at the same noise level, and differ by the text, which
enters in the first block's cross-attention. So the tables of positions, the embedding of the noise level and the first block's
self-attention are the same in both, and the second pass takes the first one's. No bit changes, and one self-attention of a step less is
made: with 40 blocks one of 80. What is kept meanwhile is one tensor of (tokens, width) and two tables of (tokens, width of a head).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from diffusers import WanTransformer3DModel
from torch import nn

from generator_service.tier import Tier


def modules(expert: WanTransformer3DModel, tier: Tier) -> tuple[nn.Module, ...]:
    """Those of ``expert`` that read no text, each of which is called once a pass; none where ``tier`` shares nothing."""
    if not tier.share_passes:
        return ()
    embedder = expert.condition_embedder
    found = (expert.rope, embedder.timesteps_proj, embedder.time_embedder, embedder.act_fn, embedder.time_proj)
    return (*found, expert.blocks[0].attn1) if tier.shares_attention else found


@contextmanager
def once(shared: tuple[nn.Module, ...]) -> Iterator[None]:
    """Each of ``shared`` computes at its first call and answers the same from then on, for as long as the block lasts: passes of one
    step only. Hooks that lie around a module stay around it."""
    before = [module.__dict__.get("forward") for module in shared]
    try:
        for module in shared:
            module.forward = _first(module.forward)
        yield
    finally:
        for module, forward in zip(shared, before, strict=True):
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _first(forward: Callable[..., Any]) -> Callable[..., Any]:
    made: list[Any] = []

    def answer(*arguments: Any, **named: Any) -> Any:
        if not made:
            made.append(forward(*arguments, **named))
        return made[0]

    return answer
