"""One video over several processes, each with a device: diffusers' context parallelism (Ulysses; Jacobs et al. 2023).

Every process holds the whole model and a share of the latent tokens; in self-attention they change shares of tokens for shares of
heads and back. All processes make the same steps of the same takes and have the same latents after each.
"""

from __future__ import annotations

import torch
from diffusers import ContextParallelConfig, ParallelConfig, WanTransformer3DModel
from diffusers.hooks.context_parallel import apply_context_parallel
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from generator_service.tier import Tier
from generator_service.wan import Components


class NotDivisibleError(ValueError):
    """Heads or tokens do not fall into equal shares."""


def share(parts: Components, degree: int) -> int:
    """From now on every pass of the experts of ``parts`` is shared by the ``degree`` processes of the default group, which is there; how
    many layers know it.

    Raises ``ValueError`` for a tier that cannot be shared, `NotDivisibleError` where the heads cannot.
    """
    if reason := conflict(parts.tier):
        raise ValueError(reason)
    heads = parts.transformer.config["num_attention_heads"]
    if heads % degree:
        raise NotDivisibleError(f"{heads} heads cannot be shared by {degree}")
    own = ContextParallelConfig(ulysses_degree=degree)
    config = ParallelConfig(context_parallel_config=own)
    mesh = init_device_mesh(parts.device.type, own.mesh_shape, mesh_dim_names=own.mesh_dim_names)
    # diffusers' `enable_parallelism` asks for the number of accelerators and divides by it, which a CPU has none of.
    config.setup(distributed.get_rank(), distributed.get_world_size(), parts.device, mesh=mesh)
    experts = [parts.transformer] if parts.transformer_2 is None else [parts.transformer, parts.transformer_2]
    return sum(_share(expert, own, config) for expert in experts)


def conflict(tier: Tier) -> str:
    """Why ``tier`` cannot be shared; "" where it can."""
    if tier.offload != "none" or tier.step_cache is not None:
        return "offload and step_cache hook the blocks, and so does sharing them"
    if tier.compile:
        return "compile makes one graph of a block, and the exchange between processes breaks it"
    if tier.attention not in ("native", "cudnn"):
        return f"attention {tier.attention} cannot be shared: name native or cudnn"
    return ""


def check(tokens: int, degree: int) -> None:
    """Raises `NotDivisibleError` for a video of ``tokens`` latent tokens that ``degree`` processes cannot share."""
    if tokens % degree:
        raise NotDivisibleError(f"{tokens} latent tokens cannot be shared by {degree}")


def device(rank: int) -> torch.device:
    """Of the process ``rank`` on its machine."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def _share(expert: WanTransformer3DModel, own: ContextParallelConfig, config: ParallelConfig) -> int:
    expert._parallel_config = config
    # Cross-attention is each one's own: the text is there whole, and a query attends for itself.
    for block in expert.blocks:
        block.attn1.processor._parallel_config = config
    apply_context_parallel(expert, own, expert._cp_plan)
    return len(expert.blocks)
