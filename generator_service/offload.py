"""Moves weights off the device, by the hooks of accelerate and diffusers. On until `restore`.

Offloading copies weights and changes no value. The hooks are counted, because an optimisation that is not on looks like one
that is.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import remove_hook_from_module
from diffusers.hooks import HookRegistry, apply_group_offloading
from diffusers.hooks.group_offloading import _GROUP_OFFLOADING
from torch import nn

from generator_service.core import Rung
from generator_service.wan import Components

HOST = "cpu"


def apply(parts: Components, rung: Rung) -> int:
    """Puts ``parts`` on ``rung``; how many hooks that took. Nothing above `Rung.EXPERT_OFFLOADED`."""
    restore(parts)
    if rung is Rung.EXPERT_OFFLOADED:
        return _swap(parts)
    if rung > Rung.EXPERT_OFFLOADED:
        return sum(_group(parts, expert) for expert in _experts(parts))
    return 0


def restore(parts: Components) -> None:
    """All weights back on the device, and no hooks. Cheap when there is nothing to do."""
    for expert in _experts(parts):
        if hasattr(expert, "_hf_hook"):
            remove_hook_from_module(expert, recurse=False)
            expert.to(parts.device)
        if _grouped(expert):
            HookRegistry.check_if_exists_or_initialize(expert).remove_hook(_GROUP_OFFLOADING, recurse=True)
            expert.to(parts.device)


def away(expert: nn.Module) -> bool:
    """Whether weights of ``expert`` come to the device only inside its forward: nobody may call a part of it alone."""
    return hasattr(expert, "_hf_hook") or _grouped(expert) > 0


def _swap(parts: Components) -> int:
    """Each expert comes to the device when it is called, and sends the other one away."""
    if parts.transformer_2 is None:
        return 0
    parts.transformer_2.to(HOST)
    _, first = cpu_offload_with_hook(parts.transformer, parts.device)
    _, second = cpu_offload_with_hook(parts.transformer_2, parts.device, prev_module_hook=first)
    first.hook.prev_module_hook = second
    return sum(hasattr(expert, "_hf_hook") for expert in _experts(parts))


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
