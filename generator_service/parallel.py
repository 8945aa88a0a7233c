"""What a tier's experts need so that several processes make one pass: diffusers' context parallelism (Ulysses; Jacobs et al. 2023), or
its shares of tokens with a ring of our own.

Every process holds the whole of the experts and a share of the latent tokens; in self-attention they change shares of tokens for shares
of heads and back, or keys and values go around (`ring.py`), and all have the whole result after the last block.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ContextParallelConfig, ParallelConfig, WanTransformer3DModel
from diffusers.hooks.context_parallel import apply_context_parallel, remove_context_parallel
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

from generator_service.ring import RingAttention
from generator_service.tier import Parallel


class NotDivisibleError(ValueError):
    """Heads or tokens do not fall into equal shares."""


def share(experts: Sequence[WanTransformer3DModel], device: torch.device, how: Parallel) -> int:
    """From now on every pass of ``experts`` is shared as ``how`` says by the processes of the default group, which is there, and in each
    of which this is called; how many layers know it, none where each process makes whole passes. The heads were checked before.
    """
    # diffusers calls torch by an older name, in every pass.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"diffusers\.hooks\.context_parallel")
    # Row by row a branch; a mesh is made by all processes together, though each is in one row only.
    ring, heads = (how.shares, 1) if how.method == "ring" else (1, how.shares)
    ranks = torch.arange(how.processes).view(how.branches, ring, heads)
    mesh = DeviceMesh(device.type, ranks, mesh_dim_names=("branch", "ring", "ulysses"))
    if how.shares == 1:
        return 0
    own = ContextParallelConfig(ring_degree=ring, ulysses_degree=heads)
    config = ParallelConfig(context_parallel_config=own)
    # diffusers' `enable_parallelism` asks for the number of accelerators and divides by it, which a CPU has none of.
    config.setup(distributed.get_rank(), distributed.get_world_size(), device, mesh=mesh["ring", "ulysses"])
    return sum(_share(expert, own, config) for expert in experts)


def unshare(experts: Sequence[WanTransformer3DModel]) -> None:
    """Takes back what `share` did: every process makes whole passes again."""
    for expert in experts:
        if expert._parallel_config is None:
            continue
        expert._parallel_config = None
        for block in expert.blocks:
            if isinstance(block.attn1.processor, RingAttention):
                _replace(block.attn1, WanAttnProcessor())
            block.attn1.processor._parallel_config = None
        remove_context_parallel(expert, _plan(expert))


def check_heads(expert: WanTransformer3DModel, how: Parallel) -> None:
    """Raises `NotDivisibleError`. A ring leaves each process all heads."""
    heads = expert.config["num_attention_heads"]
    if how.method != "ring" and heads % how.shares:
        raise NotDivisibleError(f"{heads} heads cannot be shared by {how.shares}")


def check_tokens(tokens: int, how: Parallel) -> None:
    """Raises `NotDivisibleError`. ``tokens`` are those of the tier's default video: who asks for nothing else would always be refused."""
    if tokens % how.shares:
        raise NotDivisibleError(f"the {tokens} latent tokens of the default video cannot be shared by {how.shares}")


def branch_of(rank: int, how: Parallel) -> int:
    """Which of a step's passes the process ``rank`` makes where they are made at the same time."""
    return rank // how.shares


def device_of(rank: int, leader: torch.device) -> torch.device:
    """Of the process ``rank`` on the machine of a leader on ``leader``: GPUs are taken in their order from its own."""
    return leader if leader.type == "cpu" else torch.device("cuda", (leader.index or 0) + rank)


def _share(expert: WanTransformer3DModel, own: ContextParallelConfig, config: ParallelConfig) -> int:
    expert._parallel_config = config
    # Cross-attention is each one's own: the text is there whole, and a query attends for itself.
    for block in expert.blocks:
        if own.ring_degree > 1:
            _replace(block.attn1, RingAttention())
        else:
            block.attn1.processor._parallel_config = config
    apply_context_parallel(expert, own, _plan(expert))
    return len(expert.blocks)


def _replace(attn: WanAttention, ours: WanAttnProcessor) -> None:
    """On the kernel that was chosen."""
    ours._attention_backend = attn.processor._attention_backend
    attn.set_processor(ours)


def _plan(expert: WanTransformer3DModel) -> dict[str, Any]:
    """Without what only a noise level for each token needs, which diffusers has under ""."""
    return {name: plan for name, plan in expert._cp_plan.items() if name}
