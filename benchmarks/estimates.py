"""Device time that is told before a run, against the device time of its report, on the embedded model.

    python benchmarks/estimates.py [--quick] [--seed 11]

A real runner makes requests one after the other: half of them tiny (32x32, 5 frames, 4 steps), the others of mixed sizes, frames and
steps; some without guidance, some with a watermark, most with a prompt that was not seen before. The first 200 only teach. Then each is
estimated when it comes, as `EstimateVideo` does, and compared with what its report says. The estimates go on learning, as in a service.

Device time on a CPU is the CPU time of this process, so other processes hardly count; wall time stands beside it, and is theirs too.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import Goal, close
from generator_service import tier as tiers
from generator_service import wan
from generator_service.core import Finish, Outcome, Request, Take
from generator_service.engine import Engine
from generator_service.estimate import Estimate
from generator_service.governor import Governor
from generator_service.runner import Runner
from generator_service.store import Store

TIER = tiers.load(tiers.FOLDER / "embedded.yaml")
SIZES, FRAMES, STEPS = (32, 48, 64, 96, 128), (5, 9, 13, 17), (2, 16)
COLOURS, SHAPES = ("red", "green", "blue", "yellow", "white", "purple"), ("circle", "ring", "cross", "bar")
MOTIONS, OVER = ("left", "right", "up", "down"), ("grass", "sky", "night", "sand")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One request: what was said of it, and what came; seconds. ``wall`` is from being asked for to its video."""

    tiny: bool
    estimate: Estimate
    spent: float
    wall: float

    @property
    def error(self) -> float:
        """Relative to what it took."""
        return abs(self.estimate.p50 - self.spent) / self.spent


def requests(count: int, seed: int) -> Iterator[tuple[bool, Request]]:
    """Whether it is tiny, and the request; no two are equal."""
    chance = random.Random(seed)
    for number in range(count):
        tiny = chance.random() < 0.5
        size = (32, 32) if tiny else (chance.choice(SIZES), chance.choice(SIZES))
        guidance = 1.0 if chance.random() < 0.2 else 4.0
        # One in four has a text that was encoded before, and all have one of two negative prompts.
        again = chance.random() < 0.25
        words = (chance.choice(COLOURS), chance.choice(SHAPES), chance.choice(MOTIONS), chance.choice(OVER))
        take = Take(
            tenant="a",
            prompt="a red circle moves left" if again else "a {} {} moves {} over {} ".format(*words) + str(number),
            negative_prompt=chance.choice(("", "blurred")),
            width=size[0],
            height=size[1],
            frames=5 if tiny else chance.choice(FRAMES),
            steps=4 if tiny else chance.randint(*STEPS),
            guidance=guidance,
            guidance_2=guidance,
            seed=seed * 1_000_000 + number,
            tier="embedded",
            execution="",
        )
        yield tiny, Request(take=take, finish=Finish(fps=8, watermark="Acme" if chance.random() < 0.1 else ""))


async def runs(runner: Runner, governor: Governor, wanted: Iterator[tuple[bool, Request]]) -> list[Run]:
    found = []
    for tiny, request in wanted:
        begun = time.monotonic()
        estimate = governor.admission.estimate(request.take) if governor.admission else None
        run, _ = await runner.submit(request)
        report = await run.wait()
        if estimate is None or report is None or report.outcome is not Outcome.DONE:
            raise RuntimeError("a run without an estimate or without an end")
        spent = sum(report.device_ms.values()) / 1000
        found.append(Run(tiny=tiny, estimate=estimate, spent=spent, wall=time.monotonic() - begun))
    return found


async def measured(teach: int, count: int, seed: int, governor: Governor) -> list[Run]:
    parts = wan.load(TIER, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Store(Path(folder)), lambda: {"embedded": Engine(parts)}, queue=4, governor=governor)
        await runner.start()
        try:
            await runs(runner, governor, requests(teach, seed + 1))
            return await runs(runner, governor, requests(count, seed))
        finally:
            await runner.stop()


def covered(found: list[Run], bound: Callable[[Estimate], float]) -> float:
    return sum(run.spent <= bound(run.estimate) for run in found) / len(found)


def show(found: list[Run]) -> None:
    kinds = {"tiny": [r for r in found if r.tiny], "mixed": [r for r in found if not r.tiny], "all": found}
    print(
        f"{'':6} {'runs':>5} {'device s':>9} {'wall s':>8} {'mean error':>11} {'median':>8} {'p95 covers':>11} {'p95/p50':>8}"
    )
    for name, each in kinds.items():
        if each:
            print(
                f"{name:6} {len(each):5} {mean(r.spent for r in each):9.3f} {mean(r.wall for r in each):8.3f} "
                f"{mean(r.error for r in each):11.1%} {median(r.error for r in each):8.1%} "
                f"{covered(each, lambda e: e.p95):11.1%} {median(r.estimate.p95 / r.estimate.p50 for r in each):8.2f}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few requests: does it run?")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("generator_service").setLevel(logging.ERROR)
    teach, count = (20, 40) if args.quick else (200, 1000)
    found = asyncio.run(measured(teach, count, args.seed, Governor(measure=True)))
    show(found)
    coverage = covered(found, lambda e: e.p95)
    goals = [
        Goal(name="device time: mean absolute error", value=mean(r.error for r in found), compare="<=", target=0.10),
        Goal(name="device time: p95 covers, at least", value=coverage, compare=">=", target=0.92),
        Goal(name="device time: p95 covers, at most", value=coverage, compare="<=", target=0.98),
    ]
    return 0 if close(goals) == 0 or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
