"""The schedule, the estimates and the memory of the generator, on the embedded model and in simulated time.

    python benchmarks/engine_schedule.py [--quick] [--seed 7]

Fairness: the real scheduler in simulated time; one tenant floods, another comes now and then. Its share is what a device of half
the speed would give it, all to itself. Drafts: a real runner, two tiers over one model. Memory: real videos under an allocator that
refuses what passes its limit (`Allocations`), the same requests with admission and ladder, and without. Estimates: predicted before
each run, compared with the device time of its report.
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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import Goal, close
from benchmarks.simulated import Arrival, simulate
from generator_service import measure, wan
from generator_service import tier as tiers
from generator_service.admission import TooLargeError
from generator_service.allocations import Allocations
from generator_service.core import Finish, Outcome, Request, Stage, Take
from generator_service.engine import Engine
from generator_service.governor import Governor
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.scheduler import Limits
from generator_service.store import Store

TIER = tiers.load(tiers.FOLDER / "embedded.yaml")
# Width and height, frames, steps.
SHAPES = ((32, 5, 4), (64, 9, 3), (96, 9, 2), (128, 9, 2), (160, 5, 2), (192, 9, 2), (224, 5, 2), (256, 5, 2))
LIMIT = 46_000_000


def request(size: int, frames: int, steps: int, *, seed: int, tenant: str = "a", tier: str = "embedded") -> Request:
    take = Take(
        tenant=tenant,
        prompt="a red circle moves left",
        negative_prompt="",
        width=size,
        height=size,
        frames=frames,
        steps=steps,
        guidance=4.0,
        guidance_2=4.0,
        seed=seed,
        tier=tier,
        execution="",
    )
    return Request(take=take, finish=Finish(fps=8))


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def fairness(count: int, seed: int) -> list[Goal]:
    """``count`` jobs of one tenant, at three tenths of the device, beside another's flood of four times what it can do."""
    chance = random.Random(seed)
    mine, at = [], 0.0
    for _ in range(count):
        at += chance.expovariate(0.3 / 6.0)
        mine.append(Arrival(at=at, tenant="mine", steps=chance.randint(2, 10)))
    flood = [
        Arrival(at=chance.uniform(0, at), tenant="flood", steps=chance.randint(2, 40)) for _ in range(int(4 * at / 21))
    ]
    alone = simulate([dataclasses.replace(each, step=2.0) for each in mine])
    share = p95([each.ended - each.arrival.at for each in alone.served])
    found = {}
    for name, arrivals in (
        ("fair shares", mine + flood),
        ("one line for all", [dataclasses.replace(each, tenant="all") for each in mine + flood]),
    ):
        keys = {(each.at, each.steps) for each in mine}
        served = [each for each in simulate(arrivals).served if (each.arrival.at, each.arrival.steps) in keys]
        found[name] = p95([each.ended - each.arrival.at for each in served])
    print(f"flood: p95 from arrival to end {found}, on its own half of the device {share:.1f} (in steps)")
    return [
        Goal(name="flood: the other's p95 over its share's", value=found["fair shares"] / share, compare="<=", target=2)
    ]


class Watching(Governor):
    """Remembers when runs were put in line and when each step began and ended."""

    def __init__(self, **more: Any) -> None:
        super().__init__(guard=self._watch, **more)
        self.queued: dict[str, float] = {}
        self.steps: list[tuple[str, float, float]] = []

    def standing(self, request: Request, done: frozenset[Stage] = frozenset()) -> dict[str, Any]:
        self.queued[request.name] = time.perf_counter()
        return super().standing(request, done)

    @contextmanager
    def _watch(self, run: Run) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.steps.append((run.name, begun, time.perf_counter()))


async def drafts(parts: wan.Components, count: int) -> list[Goal]:
    """Drafts that come at random moments of a long job: how many of its steps each waits for."""
    draft = Engine(dataclasses.replace(parts, tier=parts.tier.model_copy(update={"tier": "draft", "priority": 5})))
    governor, chance = Watching(), random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        engines = {"embedded": Engine(parts), "draft": draft}
        runner = Runner(Store(Path(folder)), lambda: engines, queue=16, governor=governor)
        await runner.start()
        long, _ = await runner.submit(request(128, 17, 5000, seed=0))
        names = []
        for number in range(count):
            await asyncio.sleep(chance.uniform(0.02, 0.12))
            run, _ = await runner.submit(request(32, 5, 2, seed=number, tenant="b", tier="draft"))
            await run.wait()
            names.append(run.name)
        await runner.cancel(long.name)
        await runner.stop()
    waited, seconds = [], []
    for name in names:
        first = min(begun for who, begun, _ in governor.steps if who == name)
        queued = governor.queued[name]
        waited.append(
            sum(who == long.name and ended > queued and begun < first for who, begun, ended in governor.steps)
        )
        seconds.append(first - queued)
    step = median(ended - begun for who, begun, ended in governor.steps if who == long.name)
    print(
        f"drafts: {Counter(waited)} steps waited; {1000 * p95(seconds):.1f} ms at p95, a long step is {1000 * step:.1f} ms"
    )
    return [Goal(name=f"draft: most steps waited for, of {count}", value=max(waited), compare="<=", target=1)]


async def crowded(
    parts: wan.Components, wanted: list[Request], *, guarded: bool, begun: int
) -> tuple[Counter[str], dict[str, str], Any]:
    """What became of ``wanted``, all sent at once, on a device of `LIMIT` bytes; by outcome and by name."""
    weights = measure.geometry(parts).weights
    device = Allocations(held=weights, limit=LIMIT)

    @contextmanager
    def on_device(run: Run) -> Iterator[None]:
        with device:
            yield

    governor = Governor(
        Limits(begun=begun), memory_bytes=LIMIT, guard=on_device, admitting=guarded, climbing=guarded, breaker=never
    )
    ends: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Store(Path(folder)), lambda: {"embedded": Engine(parts)}, queue=len(wanted), governor=governor)
        await runner.start()

        async def one(each: Request) -> None:
            try:
                run, _ = await runner.submit(each)
            except TooLargeError:
                ends[each.name] = "refused"
                return
            report = await run.wait()
            ends[each.name] = report.outcome.value if report else "lost"

        await asyncio.gather(*(one(each) for each in wanted))
        await runner.stop()
    return Counter(ends.values()), ends, governor.descent.lowered


def never(tier: str) -> Any:
    """A breaker that stays closed: here every request shall be tried."""
    from generator_service.breaker import Breaker

    return Breaker(tier, failures=1_000_000)


async def memory(parts: wan.Components, count: int, seed: int) -> list[Goal]:
    chance = random.Random(seed)
    wanted = [request(*chance.choice(SHAPES), seed=number, tenant=chance.choice("abcd")) for number in range(count)]
    # The harder comparison: one at a time needs the least memory, but lets nobody pass.
    plain, plain_ends, _ = await crowded(parts, wanted, guarded=False, begun=1)
    guarded, guarded_ends, lowered = await crowded(parts, wanted, guarded=True, begun=4)
    failed = [sum(n for end, n in each.items() if end not in ("done", "refused")) for each in (plain, guarded)]
    needless = sum(end == "refused" and plain_ends[name] == "done" for name, end in guarded_ends.items())
    rungs = {rung.name: n for rung, n in lowered.items()}
    print(f"memory, {count} requests on {LIMIT / 1e6:.0f} MB, one at a time, without: {dict(plain)}")
    print(f"memory, four begun at a time, with admission and ladder: {dict(guarded)}; lowered while running: {rungs}")
    fewer = 1 - failed[1] / failed[0] if failed[0] else None
    return [
        Goal(name=f"out of memory: fewer of {failed[0]} failures", value=fewer, compare=">=", target=0.92, why="none"),
        Goal(name="refused though it had run without", value=needless, compare="<=", target=0),
        Goal(name="made with, less made without", value=guarded["done"] - plain["done"], compare=">=", target=0),
    ]


def peaks(parts: wan.Components) -> list[Goal]:
    """Predicted over measured peak, of every shape and stage; nothing of the text kept, or the second shape would find the first one's
    and the whole room for it would count against a request that uses little of it."""
    from generator_service.memory import predict

    parts = dataclasses.replace(parts, tier=parts.tier.model_copy(update={"text_kv": False, "text_states_mib": 0}))
    engine, sizes, ratios = Engine(parts), measure.geometry(parts), []
    for shape in SHAPES:
        take, count = request(*shape, seed=0).take, Allocations()
        need = predict(dataclasses.replace(sizes, weights=0), sizes.shape(take))
        with count:
            state = engine.prepare(take)
            ratios.append(need.stage(Stage.TEXT) / count.peak)
            count.start()
            while not state.done:
                engine.step(state)
            ratios.append(need.stage(Stage.DENOISE) / count.peak)
            count.start()
            decoding = engine.begin_decode(state.latents)
            while not decoding.done:
                engine.decode(decoding)
            ratios.append(need.stage(Stage.DECODE) / count.peak)
        del state, decoding
    print(f"peaks: predicted over measured {min(ratios):.2f} to {max(ratios):.2f}, median {median(ratios):.2f}")
    return [
        Goal(name="peak bytes: predicted over measured, least", value=min(ratios), compare=">=", target=1),
        Goal(name="peak bytes: predicted over measured, most", value=max(ratios), compare="<=", target=1.5),
    ]


async def estimates(parts: wan.Components, count: int, seed: int) -> list[Goal]:
    """Estimated before, measured after, over random shapes; the first runs only teach."""
    chance, governor, seen = random.Random(seed), Governor(measure=True), []
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Store(Path(folder)), lambda: {"embedded": Engine(parts)}, queue=4, governor=governor)
        await runner.start()
        for number in range(count):
            size, frames = chance.choice((32, 48, 64, 96, 128)), chance.choice((5, 9, 13, 17))
            wanted = request(size, frames, chance.randint(2, 16), seed=number)
            estimate = governor.admission.estimate(wanted.take) if governor.admission else None
            run, _ = await runner.submit(wanted)
            report = await run.wait()
            if estimate is None or report is None or report.outcome is not Outcome.DONE:
                raise RuntimeError("a run without an estimate or without an end")
            seen.append((estimate, sum(report.device_ms.values()) / 1000))
        await runner.stop()
    taught = seen[count // 4 :]
    errors = [abs(spent - each.p50) / spent for each, spent in taught]
    over = [
        sum(spent <= bound(each) for each, spent in taught) / len(taught)
        for bound in (lambda e: e.p50, lambda e: e.p95)
    ]
    print(
        f"estimates, {len(taught)} runs: p50 covers {over[0]:.2f}, p95 covers {over[1]:.2f}, error {median(errors):.3f}"
    )
    return [
        Goal(name="estimate: median relative error", value=median(errors), compare="<=", target=0.15),
        Goal(name="estimate: p95 covers", value=over[1], compare=">=", target=0.9),
        Goal(name="estimate: p50 is off the middle by", value=abs(over[0] - 0.5), compare="<=", target=0.25),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few requests: does it run?")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    # Failures are counted here; their tracebacks are not news.
    logging.getLogger("generator_service").setLevel(logging.CRITICAL)
    parts = wan.load(TIER, torch.device("cpu"))
    goals = fairness(100 if args.quick else 300, args.seed)
    goals += asyncio.run(drafts(parts, 10 if args.quick else 50))
    goals += peaks(parts)
    goals += asyncio.run(memory(parts, 40 if args.quick else 200, args.seed))
    goals += asyncio.run(estimates(parts, 32 if args.quick else 120, args.seed))
    return 0 if close(goals) == 0 or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
