"""A step of A14B over several GPUs (Ulysses), against the same step on one of them: the same numbers, and how much sooner.

    torchrun --nproc-per-node 8 benchmarks/gpu_parallel.py            832x480, 81 frames, random weights, bf16
    python benchmarks/gpu_parallel.py --cpu-check                     two processes, a small model, fp32, gloo: times mean nothing

Without GPUs it says "not measured". At 480p 32,760 latent tokens are shared by 2, 4 or 8; A14B's 40 heads too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch
from torch import distributed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import gpu_time
from benchmarks.gpu_model import Model, engine_of, state_of, take_of, tier_of
from benchmarks.report import Goal, close
from generator_service import parallel
from generator_service.engine import Engine

ROUNDS = 3
# Of the cards' sum; what is lost is the exchange, four times a block.
EFFICIENCY = 0.7


def measured(*, real: bool) -> tuple[float, float, float, int]:
    """Seconds of a step alone and shared, the difference of their latents, and the tokens of one process."""
    rank, degree = distributed.get_rank(), distributed.get_world_size()
    model = Model(
        device=parallel.device(int(os.environ["LOCAL_RANK"])) if real else torch.device("cpu"),
        real=real,
        dtype=torch.bfloat16 if real else torch.float32,
    )
    tier = tier_of(model, *((832, 480, 81) if real else (64, 64, 13)))
    engine, seen = engine_of(model, tier, [model.expert()]), []
    engine.experts[0].blocks[1].attn1.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    alone = steps(engine, model)
    parallel.check(seen[-1], degree)
    parallel.share(engine.parts, degree)
    shared = steps(engine, model)
    apart = float((shared[1] - alone[1]).norm() / alone[1].norm())
    if rank == 0:
        print(f"{degree} processes on {model.device.type}, {seen[0]} tokens, {seen[-1]} in each", flush=True)
    return alone[0], shared[0], apart, seen[-1]


def steps(engine: Engine, model: Model) -> tuple[float, torch.Tensor]:
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
        return close([goal(None, torch.cuda.device_count())])
    torch.set_num_threads(1)
    if real:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if real else "gloo")
    alone, shared, apart, _ = measured(real=real)
    rank, degree = distributed.get_rank(), distributed.get_world_size()
    distributed.destroy_process_group()
    if rank:
        return 0
    print(f"alone {alone:.3f} s, shared {shared:.3f} s, latents differ by {apart:.1e} of their norm", flush=True)
    missed = apart > (2e-2 if real else 1e-5)
    return close([goal(alone / shared / degree if real else None, degree)]) or int(missed)


def goal(value: float | None, degree: int) -> Goal:
    why = "fewer than two GPUs, or not started by torchrun"
    name = f"480p step over {degree} GPUs, of what they are together"
    return Goal(name=name, value=value, compare=">=", target=EFFICIENCY, why=why)


if __name__ == "__main__":
    sys.exit(main())
