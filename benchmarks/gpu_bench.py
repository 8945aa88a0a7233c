"""A bench: the model, the device and how often, with what several rows of `gpu.py` need."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import torch

from benchmarks import gpu_model, gpu_time
from benchmarks.gpu_model import Model, engine_of, tier_of
from generator_service import attention, compiled, offload, precision, tuning, wan
from generator_service.engine import Engine
from generator_service.geometry import Shape
from generator_service.swap import Swap

Size = tuple[int, int, int]
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bench:
    """``model`` says where and how large; ``rounds`` are timed after ``warm`` ones. ``compile``: ours is compiled. ``wide``: the block of
    `precisions` has A14B's width, on a CPU too. ``known``: ceilings that another row of the same run has measured.
    """

    model: Model
    rounds: int = 3
    warm: int = 1
    compile: bool = True
    wide: bool = True
    known: gpu_time.Ceilings | None = None

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def p480(self) -> Size:
        return (832, 480, 81) if self.model.real else (64, 64, 9)

    @property
    def p720(self) -> Size:
        return (1280, 720, 81) if self.model.real else (96, 64, 9)

    @cached_property
    def ceilings(self) -> gpu_time.Ceilings:
        return self.known or gpu_time.ceilings(self.device, real=self.model.real)

    def peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def reserved(self) -> int | None:
        """As `peak`, of what the process held of the device, room between tensors included."""
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None

    def cap(self, gigabytes: float | None) -> None:
        """From now on this process gets no more of the device: a smaller card, but for its speed."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            # The only one of torch's calls here that takes no device without a number.
            index = torch.cuda.current_device() if self.device.index is None else self.device.index
            torch.cuda.set_per_process_memory_fraction(min(1.0, (gigabytes or 1e6) * 1e9 / total), index)

    def fresh(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def fast(bench: Bench) -> dict[str, Any]:
    """Ours, where it may be as fast as it can without other numbers than rounding makes."""
    return {"attention": "auto", "cross_attention": "auto", "fuse_qkv": True, "compile": bench.compile}


def whole(bench: Bench, tier: Any) -> Engine:
    """All parts where ``tier`` has them, the experts rounded one after the other: both at once in 16 bits need not fit."""
    away = {"quantisation": tier.quantisation, "fuse_qkv": tier.fuse_qkv}
    experts = []
    for seed in (0, 1):
        expert = bench.model.expert(seed)
        if tier.fuse_qkv:
            compiled.fuse(expert)
        if tier.quantisation != "none":
            precision.quantise(expert, tier.quantisation)
        experts.append(expert if tier.offload == "none" else expert.to("cpu"))
    bench.fresh()
    encoder = bench.model.encoder()
    if tier.text_encoder == "host":
        encoder = encoder.to("cpu")
    elif tier.text_encoder == "swap":
        Swap([encoder], bench.device)
    placed = tier.model_copy(update={"quantisation": "none", "fuse_qkv": False})
    engine = engine_of(bench.model, placed, experts, vae=bench.model.vae(wan.DTYPES[tier.vae_dtype]), encoder=encoder)
    engine = Engine(dataclasses.replace(engine.parts, tier=tier.model_copy(update=away)))
    offload.apply(engine.parts, offload.OFFLOADS[tier.offload])
    return engine


def eight_bit_kernel(bench: Bench, size: Size) -> str:
    """Raises `attention.NoKernelError` where none is here, so that no other kernel's time stands for it. Asked first, before anything is
    built."""
    own, _ = tuning.sites(bench.model.transformer, tier_of(bench.model, *size))
    chosen, trials = attention.choose("auto-8bit", own, bench.model.dtype, bench.device)
    if chosen not in attention.EIGHT_BITS:
        why = "; ".join(f"{trial.kernel}: {trial.why or 'slower or not right enough'}" for trial in trials)
        raise attention.NoKernelError(f"{chosen} is taken, and no 8-bit attention kernel: {why}")
    return chosen


def floor(bench: Bench, engine: Engine, take: Any, *, fp8: bool = False, attention8: bool = False) -> dict[str, float]:
    geometry = gpu_model.geometry_of(bench.model, engine.tier, list(engine.experts))
    shape: Shape = geometry.shape(take)
    return gpu_time.floor(geometry, shape, bench.ceilings, fp8=fp8, attention8=attention8)


def share(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())
