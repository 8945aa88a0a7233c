"""Time on the device, ceilings of the device, and the least that a step could take by them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

from generator_service import flops, precision
from generator_service.geometry import Geometry, Shape

# Bytes of (tokens, width) and of (tokens, feed-forward width) that a block reads and writes, each operand once: projections and
# their inputs, queries, keys, values and what attention makes of them, twice; residuals, norms and modulation.
BLOCK_WIDTHS, BLOCK_FEED_FORWARDS = 24, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Measured here and now: operations a second of large products, bytes a second of a copy (read and written) and from pinned
    memory."""

    bf16: float
    fp8: float | None
    copy: float
    host: float | None


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Of one call, until the device has done it."""
    wait(device)
    begun = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - begun


def interleaved(
    calls: dict[str, Callable[[], Any]], device: torch.device, *, warm: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of each call in each round, one after the other, so that what disturbs one disturbs all."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm + rounds):
        for name, call in calls.items():
            spent = seconds(call, device)
            if turn >= warm:
                found[name].append(spent)
    return found


def ceilings(device: torch.device, *, real: bool) -> Ceilings:
    """By a large product and a copy; small ones on a CPU, where the figures mean nothing."""
    size, bytes_ = (8192, 4 << 30) if real else (256, 1 << 20)
    a, b = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in "ab")
    bf16 = 2 * size**3 / best(lambda: a @ b, device)
    source = torch.empty(bytes_, dtype=torch.uint8, device=device).random_(0, 255)
    target = torch.empty_like(source)
    copy = 2 * bytes_ / best(lambda: target.copy_(source), device)
    if device.type == "cuda":
        pinned = torch.empty(bytes_, dtype=torch.uint8, pin_memory=True)
        host: float | None = bytes_ / best(lambda: target.copy_(pinned, non_blocking=True), device)
    else:
        host = None
    return Ceilings(bf16=bf16, fp8=fp8_ceiling(a, b, device), copy=copy, host=host)


def fp8_ceiling(a: torch.Tensor, b: torch.Tensor, device: torch.device) -> float | None:
    """Of the very product that `precision.py` runs, without the rounding before it; None where there is none."""
    (x, rows), (w, scale) = precision.to_fp8(a), precision.to_fp8(b)

    def product() -> None:
        torch._scaled_mm(x, w.t(), scale_a=rows, scale_b=scale.t(), out_dtype=torch.bfloat16, use_fast_accum=x.is_cuda)

    try:
        return 2 * len(a) ** 3 / best(product, device)
    except (RuntimeError, NotImplementedError):
        return None


def best(call: Callable[[], Any], device: torch.device, *, rounds: int = 8) -> float:
    """The median after two that warm."""
    return median([seconds(call, device) for _ in range(2 + rounds)][2:])


def floor(
    geometry: Geometry, shape: Shape, found: Ceilings, *, fp8: bool = False, attention8: bool = False
) -> dict[str, float]:
    """A step's operations and bytes, and the seconds that each takes at the ceiling. ``fp8``: the linear layers in 8 bits;
    ``attention8``: attention too."""
    work = flops.step(geometry, shape)
    tokens, layers = geometry.tokens(shape), shape.passes * geometry.layers
    spared = shape.passes - 1 if geometry.shares_passes else 0
    attention = 4.0 * tokens * geometry.width * ((layers - spared) * tokens + layers * geometry.window)
    eight = found.fp8 or found.bf16
    rate, attention_rate = (eight if fp8 else found.bf16), (eight if attention8 else found.bf16)
    moved = step_bytes(geometry, shape)
    by_work = (work - attention) / rate + attention / attention_rate
    by_bytes = moved / found.copy
    return {"flops": work, "bytes": moved, "seconds_by_flops": by_work, "seconds_by_bytes": by_bytes}


def step_bytes(geometry: Geometry, shape: Shape) -> float:
    """The weights of one expert and the activations of its blocks, for each pass."""
    n, item = geometry.tokens(shape), geometry.item
    block = n * item * (BLOCK_WIDTHS * geometry.width + BLOCK_FEED_FORWARDS * geometry.feed_forward)
    return float(shape.passes * (geometry.expert + geometry.layers * block))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: Sequence[float]) -> str:
    """For people: the median and the extremes."""
    return f"{median(values):.3f} s ({min(values):.3f} to {max(values):.3f}, n={len(values)})"
