"""Settings of a tier that do not go together, each with its reason: said when the tier is loaded, not when a request fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generator_service.tier import Tier

SIXTEEN = ("float16", "bfloat16")


def of(tier: Tier) -> Iterator[str]:
    """Every reason why ``tier`` cannot run; none where it can."""
    yield from _shape(tier)
    yield from _text(tier)
    yield from _kernels(tier)
    yield from _steps(tier)
    yield from _parallel(tier)


def with_experts(tier: Tier, count: int) -> Iterator[str]:
    """The same of what is known only once the model's folder is read: how many experts there are."""
    if count == 2:
        if tier.lora and not tier.lora_2:
            yield "lora without lora_2: a few-step LoRA goes into both experts, and this model has two"
        return
    if tier.lora_2:
        yield "lora_2 is for the expert of low noise, and this model has one expert"
    if tier.offload == "expert":
        yield "offload expert takes turns between two experts, and this model has one"
    if tier.boundary_ratio is not None:
        yield "boundary_ratio divides the noise levels between two experts, and this model has one"
    if tier.step_cache is not None and tier.step_cache.ratios_2:
        yield "step_cache's ratios_2 are of the expert of low noise, and this model has one expert"


def _shape(tier: Tier) -> Iterator[str]:
    if tier.width.default % tier.multiple or tier.height.default % tier.multiple:
        yield f"the default width and height must be multiples of {tier.multiple}"
    if tier.frames.default % 4 != 1:
        yield "the default number of frames must be 4k+1"


def _text(tier: Tier) -> Iterator[str]:
    if tier.fold_text and not tier.text_kv:
        yield "fold_text folds what text_kv keeps: it needs text_kv"
    if tier.fold_text and tier.cross_attention == "flash3":
        yield "fold_text needs an attention kernel that takes an additive mask: flash3 takes none"


def _kernels(tier: Tier) -> Iterator[str]:
    if tier.dtype not in SIXTEEN:
        for name in {tier.attention, tier.cross_attention} & {"cudnn", "flash3", "sage", "auto-8bit"}:
            yield f"attention {name} needs float16 or bfloat16, not {tier.dtype}"
    if tier.quantisation == "fp8" and tier.dtype == "float16":
        yield "fp8 with row-wise scales gives bfloat16: use dtype bfloat16"
    if tier.compile and tier.offload == "group":
        yield "compile makes one graph of a block, and the hooks of offload group would break it"
    if tier.compile and tier.step_cache is not None:
        yield "compile makes one graph of a block, and step_cache's hooks would break it"
    if tier.compile and tier.batch:
        yield "compile makes a graph for one shape, and batch has passes of many"
    if tier.lora_2 and not tier.lora:
        yield "lora_2 without lora: a few-step LoRA goes into both experts"
    if tier.lora_scale != 1 and not tier.lora:
        yield "lora_scale without lora scales nothing"


def _steps(tier: Tier) -> Iterator[str]:
    low, high = tier.guidance_interval
    if not 0 <= low < high <= 1:
        yield "guidance_interval is two noise levels, 0 <= low < high <= 1"
    if tier.guidance == 1 and (tier.guidance_every > 1 or tier.guidance_interval != (0.0, 1.0)):
        yield "guidance is off: guidance_every and guidance_interval have nothing to thin out"
    if tier.guidance == 1 and tier.guidance_2 != 1:
        yield "guidance 1 switches guidance off for all noise levels: guidance_2 must be 1 too"
    if tier.batch:
        for name, on in (("step_cache", tier.step_cache is not None), ("guidance_every", tier.guidance_every > 1)):
            if on:
                yield f"{name} carries state of one video over its steps, and batch has several in a pass"
    if tier.step_cache is None:
        return
    if tier.guidance_every > 1 or tier.guidance_interval != (0.0, 1.0):
        yield "step_cache counts the passes of each text, and thinned out guidance leaves some out"
    given = tier.step_cache.model_fields_set
    for name in given & {"ratios", "ratios_2"} if tier.step_cache.kind != "mag" else ():
        yield f"step_cache {tier.step_cache.kind} reads no {name}: they are mag's"
    if "interval" in given and tier.step_cache.kind != "taylorseer":
        yield f"step_cache {tier.step_cache.kind} has no interval: it is taylorseer's"
    if "threshold" in given and tier.step_cache.kind == "taylorseer":
        yield "step_cache taylorseer has no threshold: it goes by interval"
    if tier.step_cache.kind == "mag" and not tier.step_cache.ratios:
        yield "step_cache mag needs the ratios that `reelgate calibrate` measures on this model"
    elif tier.step_cache.kind == "mag":
        found = len(tier.step_cache.ratios) + len(tier.step_cache.ratios_2)
        if found != tier.steps.default:
            yield f"step_cache mag has a ratio for each of the tier's {tier.steps.default} steps, not {found}"
    if tier.offload == "group":
        yield "step_cache and offload group both hook the blocks"


def _parallel(tier: Tier) -> Iterator[str]:
    if tier.parallel is None:
        return
    if tier.offload != "none" or tier.step_cache is not None:
        yield "parallel hooks the blocks, and so do offload and step_cache"
    if tier.compile:
        yield "compile makes one graph of a block, and the exchange between processes breaks it"
    if tier.batch:
        yield "parallel makes one video's step over several devices, and batch several videos' on one"
    if tier.attention not in ("native", "cudnn"):
        yield f"attention {tier.attention} cannot be shared by processes: name native or cudnn"
    if tier.cross_attention == "auto":
        yield "cross_attention auto may choose another kernel in each process: name one"
    if tier.parallel.method != "guidance":
        return
    if tier.guidance == 1:
        yield "parallel guidance makes two passes at once, and without guidance there is one"
    if tier.guidance_every > 1 or tier.guidance_interval != (0.0, 1.0):
        yield "parallel guidance makes both passes of a step at once, and thinned out guidance leaves one out"
    if tier.parallel.processes % 2:
        yield f"parallel guidance needs two halves, and {tier.parallel.processes} processes have none"
