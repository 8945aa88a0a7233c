"""Where the time of a step goes: kernels by what they do, and the longest of them. For a goal that was missed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# What the compiler writes is named after all that it fuses, products never among them.
FUSED = re.compile(r"^triton_(poi|red|per)_")
KINDS = {
    "attention": re.compile(r"flash|fmha|attn|attention|sdpa", re.IGNORECASE),
    "products": re.compile(r"gemm|nvjet|cutlass|xmma|matmul|addmm|\bmm\b|scaled_mm|int_mm|conv", re.IGNORECASE),
}
LONGEST = 15


def of(call: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Seconds by kind of kernel (of operator, on a CPU), and those of the longest. What goes wrong here is told and costs no row."""
    try:
        return _of(call, device)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def _of(call: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as made:
        call()
        if gpu:
            torch.cuda.synchronize(device)
    spent: Counter[str] = Counter()
    for event in made.key_averages():
        if not gpu:
            spent[event.key] += event.self_cpu_time_total / 1e6
        elif event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            spent[event.key] += event.self_device_time_total / 1e6
    kinds: Counter[str] = Counter()
    for name, seconds in spent.items():
        kinds[kind_of(name)] += seconds
    return {**kinds, "longest": {name[:90]: seconds for name, seconds in spent.most_common(LONGEST)}}


def kind_of(kernel: str) -> str:
    """By its name: nothing else tells what a kernel is for."""
    if FUSED.match(kernel):
        return "other"
    return next((kind for kind, known in KINDS.items() if known.search(kernel)), "other")
