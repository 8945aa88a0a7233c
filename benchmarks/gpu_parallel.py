"""A step of A14B over several GPUs, by sharing its tokens (Ulysses, ring), its two passes (guidance) or both, against the same step on
one of them: the same numbers, and how much sooner.

    torchrun --nproc-per-node 8 benchmarks/gpu_parallel.py            832x480, 81 frames, random weights, bf16
    python benchmarks/gpu_parallel.py --cpu-check                     two processes, a small model, fp32, gloo: times mean nothing

Without GPUs it says "not measured". At 480p 32,760 latent tokens are shared by 2, 4 or 8; A14B's 40 heads too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, distributed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import gpu_time
from benchmarks.gpu_model import Model, engine_of, state_of, take_of, tier_of
from benchmarks.report import Goal, close
from generator_service import group, parallel
from generator_service.engine import Engine
from generator_service.tier import Parallel

ROUNDS = 3
METHODS: tuple[Literal["ulysses", "ring", "guidance"], ...] = ("ulysses", "ring", "guidance")
# Of the cards' sum; what is lost is the exchange, four times a block.
EFFICIENCY = 0.7


class Together:
    """Stands for `group.Group` where every process steps by itself, and all need the whole of it."""

    def __init__(self, how: Parallel) -> None:
        self._how = how

    def passes(self, parts: Any, lender: Any, number: int, noisy: Tensor, t: Tensor, texts: Any) -> list[Tensor]:
        made = group.make(parts, lender, number, noisy, t, texts, parallel.branch_of(distributed.get_rank(), self._how))
        if self._how.branches == 1:
            return made
        found = [torch.empty_like(noisy) for _ in texts]
        for branch, tensor in enumerate(found):
            if branch == parallel.branch_of(distributed.get_rank(), self._how):
                tensor.copy_(made[0])
            distributed.broadcast(tensor, branch * self._how.shares)
        return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """``seconds`` of a step by ``method``, what its latents differ from those of one process, and the tokens of one process."""

    method: str
    seconds: float
    apart: float
    tokens: int


def measured(*, real: bool) -> list[Row]:
    """The step alone first; then by each method that this number of processes allows."""
    degree = distributed.get_world_size()
    model = Model(
        device=parallel.device_of(int(os.environ["LOCAL_RANK"]), torch.device("cuda", 0))
        if real
        else torch.device("cpu"),
        real=real,
        dtype=torch.bfloat16 if real else torch.float32,
    )
    tier = tier_of(model, *((832, 480, 81) if real else (64, 64, 13)))
    engine, seen = engine_of(model, tier, [model.expert()]), list[int]()
    engine.experts[0].blocks[1].attn1.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    seconds, alone = steps(engine, model)
    rows = [Row(method="alone", seconds=seconds, apart=0.0, tokens=seen[-1])]
    for method in METHODS:
        if method == "guidance" and degree % 2:
            continue  # it needs two halves
        how = Parallel(processes=degree, method=method)
        shared = dataclasses.replace(engine.parts, tier=tier.model_copy(update={"parallel": how}))
        parallel.share(shared.experts, model.device, how)
        together = Engine(shared)
        together.group = Together(how)  # type: ignore[assignment]
        seconds, latents = steps(together, model)
        parallel.unshare(shared.experts)
        apart = float((latents - alone).norm() / alone.norm())
        rows.append(Row(method=method, seconds=seconds, apart=apart, tokens=seen[-1]))
    return rows


def steps(engine: Engine, model: Model) -> tuple[float, Tensor]:
    """The median of a few steps after one that warms, and the latents after them."""
    state = state_of(engine, model, take_of(engine.tier))
    spent = []
    for turn in range(1 + ROUNDS):
        distributed.barrier()
        seconds = gpu_time.seconds(lambda: engine.step(state), model.device)
        if turn:
            spent.append(seconds)
    return median(spent), state.latents


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-check", action="store_true")
    parser.add_argument("--processes", type=int, default=2, help="of --cpu-check")
    parser.add_argument("--quick", action="store_true", help="where there are no GPUs the same as --cpu-check")
    chosen = parser.parse_args()
    chosen.cpu_check |= chosen.quick and not torch.cuda.is_available()
    real = torch.cuda.device_count() > 1 and not chosen.cpu_check
    if "RANK" not in os.environ and chosen.cpu_check:
        launch = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(chosen.processes),
        ]
        return subprocess.run([*launch, __file__, "--cpu-check"], check=False).returncode
    if "RANK" not in os.environ:
        return close(goals(None, torch.cuda.device_count()))
    torch.set_num_threads(1)
    if real:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if real else "gloo")
    rows = measured(real=real)
    rank, degree = distributed.get_rank(), distributed.get_world_size()
    distributed.destroy_process_group()
    if rank:
        return 0
    alone = rows[0]
    print(f"{degree} processes on {'cuda' if real else 'cpu'}, {alone.tokens} tokens; alone {alone.seconds:.3f} s")
    for row in rows[1:]:
        print(f"{row.method}: {row.tokens} tokens in each, {row.seconds:.3f} s, differs by {row.apart:.1e} of the norm")
    missed = any(row.apart > (2e-2 if real else 1e-5) for row in rows)
    return close(goals(rows if real else None, degree)) or int(missed)


def goals(rows: list[Row] | None, degree: int) -> list[Goal]:
    why = "fewer than two GPUs, or not started by torchrun"
    found, by_method = [], {row.method: row.seconds for row in rows or ()}
    for method in METHODS:
        value = by_method["alone"] / by_method[method] / degree if method in by_method else None
        name = f"480p step over {degree} GPUs, {method}, of what they are together"
        found.append(Goal(name=name, value=value, compare=">=", target=EFFICIENCY, why=why))
    return found


if __name__ == "__main__":
    sys.exit(main())
