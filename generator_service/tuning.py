"""Puts a tier's settings on its experts, in the one order that works: update, fuse, place in its precision, choose kernels, skip,
compile. Whatever cannot be done here is refused when the tier is loaded.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from generator_service import attention, compiled, lora, precision, step_cache
from generator_service.attention import Site
from generator_service.tier import Tier

# Below these, `_scaled_mm` has no row-wise e4m3.
FP8_CAPABILITY = (8, 9)
# Rows of text that a folded prompt may have; how many decides nothing about which kernel takes a mask.
FOLDED = 72


class NotHereError(ValueError):
    """A tier's setting that this device or this model cannot have, and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuned:
    """The kernels that were chosen, and for people: what was tried and what is on."""

    attention: str = "native"
    cross_attention: str = "native"
    facts: dict[str, str] = dataclasses.field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        return {"attention_chosen": self.attention, "cross_attention_chosen": self.cross_attention, **self.facts}


def check(tier: Tier, device: torch.device) -> None:
    """Raises `NotHereError`. Costs nothing: asked before anything is read."""
    if (
        tier.quantisation == "fp8"
        and device.type == "cuda"
        and torch.cuda.get_device_capability(device) < FP8_CAPABILITY
    ):
        raise NotHereError("fp8 needs a GPU of compute capability 8.9 or later: use int8")
    if tier.offload != "none" and device.type == "cpu":
        raise NotHereError("offload moves weights to the host's memory, which is where a CPU has them already")
    if tier.text_encoder == "swap" and device.type == "cpu":
        raise NotHereError("text_encoder swap brings UMT5 from the host's memory, which is where a CPU has it already")
    if tier.compile and (missing := compiled.available(device.type)):
        raise NotHereError(f"compile: {missing}")


def ready(
    expert: WanTransformer3DModel, tier: Tier, device: torch.device, *, low: bool, beside: Path
) -> dict[str, str]:
    """``expert``, as it was read, on ``device`` and in the tier's precision; what was done to it. ``low``: it is that of low noise
    levels. ``beside``: where files of the tier are looked for."""
    facts = {}
    place = tier.lora_2 if low else tier.lora
    if place:
        file = lora.resolve(place, beside)
        facts["lora"] = f"{lora.merge(expert, file, tier.lora_scale)} layers"
    if tier.fuse_qkv:
        facts["fused"] = f"{compiled.fuse(expert)} layers"
    if tier.quantisation != "none":
        home = device if tier.offload == "none" else torch.device("cpu")
        facts["quantised"] = f"{precision.quantise(expert, tier.quantisation, device, home=home)} layers"
    return facts


def finish(experts: list[WanTransformer3DModel], tier: Tier, device: torch.device, dtype: torch.dtype) -> Tuned:
    """Chooses the kernels of ``experts``, which are on ``device``, and turns on what hooks or compiles their blocks."""
    own, cross, facts = _kernels(experts[0].config, tier, device, dtype)
    for expert in experts:
        attention.install(expert, own, cross)
    if tier.step_cache is not None:
        counts = [step_cache.install(e, tier.step_cache, low=i > 0, dtype=dtype) for i, e in enumerate(experts)]
        facts["step_cache_hooks"] = " + ".join(map(str, counts))
    if tier.compile:
        for expert in experts:
            compiled.compile_blocks(expert)
    return Tuned(attention=own, cross_attention=cross, facts=facts)


def sites(config: Any, tier: Tier) -> tuple[Site, Site]:
    """Self- and cross-attention of a tier's default video."""
    t, h, w = config["patch_size"]
    space = 16 if tier.multiple == 32 else 8
    frames = (tier.frames.default - 1) // 4 + 1
    rows = frames // t * (tier.height.default // space // h) * (tier.width.default // space // w)
    heads, width = config["num_attention_heads"], config["attention_head_dim"]
    keys = FOLDED if tier.fold_text else tier.max_sequence_length
    return (
        Site(rows=rows, keys=rows, heads=heads, width=width),
        Site(rows=rows, keys=keys, heads=heads, width=width, masked=tier.fold_text),
    )


def _kernels(config: Any, tier: Tier, device: torch.device, dtype: torch.dtype) -> tuple[str, str, dict[str, str]]:
    own_site, cross_site = sites(config, tier)
    facts: dict[str, str] = {}
    found = {}
    for name, policy, site in (
        ("attention", tier.attention, own_site),
        ("cross_attention", tier.cross_attention, cross_site),
    ):
        found[name], trials = attention.choose(policy, site, dtype, device)
        if trials:
            facts[f"{name}_tried"] = "; ".join(_told(trial) for trial in trials)
    return found["attention"], found["cross_attention"], facts


def _told(trial: attention.Trial) -> str:
    if trial.seconds is None or trial.error is None:
        return f"{trial.kernel}: {trial.why}"
    return f"{trial.kernel}: {1000 * trial.seconds:.2f} ms, error {trial.error:.1e}"
