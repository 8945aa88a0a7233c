"""Moves weights off the device, by `swap.py` and the hooks of diffusers. On until `restore`.

Offloading copies weights and changes no value. What is on is counted, because an optimisation that is not on looks like one
that is.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.hooks import HookRegistry, apply_group_offloading
from diffusers.hooks.group_offloading import (
    _GROUP_OFFLOADING,
    _LAYER_EXECUTION_TRACKER,
    _LAZY_PREFETCH_GROUP_OFFLOADING,
)
from torch import nn

from generator_service import swap
from generator_service.core import Rung
from generator_service.swap import Swap
from generator_service.wan import Components

HOST = "cpu"
# Where a tier begins that never has all its weights on the device.
OFFLOADS = {"none": Rung.PLAIN, "expert": Rung.EXPERT_OFFLOADED, "group": Rung.GROUPS_OFFLOADED}


def apply(parts: Components, rung: Rung) -> int:
    """Puts ``parts`` on ``rung``; how many hooks that took. Nothing above `Rung.EXPERT_OFFLOADED`."""
    if rung < Rung.EXPERT_OFFLOADED:
        restore(parts)
        return 0
    _unhook(parts)
    if rung is Rung.EXPERT_OFFLOADED:
        return _swap(parts)
    return sum(_group(parts, expert) for expert in _experts(parts))


def restore(parts: Components) -> None:
    """All weights back on the device, and no hooks. Cheap when there is nothing to do."""
    _unhook(parts)
    for expert in _experts(parts):
        expert.to(parts.device)


def away(expert: nn.Module) -> bool:
    """Whether weights of ``expert`` come to the device only inside its forward: nobody may call a part of it alone. One that
    comes as a whole is brought here and now."""
    if (found := swap.of(expert)) is not None:
        found.bring(expert)
    return _grouped(expert) > 0


def _unhook(parts: Components) -> None:
    for expert in _experts(parts):
        if (found := swap.of(expert)) is not None:
            found.remove()
        if _grouped(expert):
            registry = HookRegistry.check_if_exists_or_initialize(expert)
            # The last two watch the first pass, for which block follows which, and stay where that one failed.
            for name in (_GROUP_OFFLOADING, _LAYER_EXECUTION_TRACKER, _LAZY_PREFETCH_GROUP_OFFLOADING):
                registry.remove_hook(name, recurse=True)


def _swap(parts: Components) -> int:
    """Each expert comes to the device when it is called, and the other one goes."""
    if parts.transformer_2 is None:
        parts.transformer.to(parts.device)
        return 0
    Swap(_experts(parts), parts.device)
    return sum(swap.of(expert) is not None for expert in _experts(parts))


def _group(parts: Components, expert: nn.Module) -> int:
    """Blocks of an expert come one at a time."""
    apply_group_offloading(
        expert,
        onload_device=parts.device,
        offload_device=torch.device(HOST),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=parts.device.type == "cuda",
    )
    return _grouped(expert)


def _grouped(expert: nn.Module) -> int:
    registries: list[Any] = [each._diffusers_hook for each in expert.modules() if hasattr(each, "_diffusers_hook")]
    return sum(registry.get_hook(_GROUP_OFFLOADING) is not None for registry in registries)


def _experts(parts: Components) -> list[nn.Module]:
    return [parts.transformer] if parts.transformer_2 is None else [parts.transformer, parts.transformer_2]
