"""How soon a run that has begun is let go when others have begun beside it: of its own priority, and of a higher one."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_kills import tiny
from benchmarks.engine_load import CountingEngine
from benchmarks.report import Goal
from generator_service.core import Outcome, Progress, Request, Stage
from generator_service.engine import Engine
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.store import Store
from generator_service.worker import Pace

LONG = 900
# Beside the run that is cancelled, by tier: fewer of its own than may begin, so that it may; as many of the higher one.
BESIDE = {"low": 2, "embedded": 4}


class Crowd:
    """Two tiers of one model, and the runs that keep both busy. ``begun`` are the steps that anybody has begun."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        low = dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update={"tier": "low", "priority": -1}))
        self._engines = {"low": CountingEngine(low), "embedded": CountingEngine(engine.parts)}
        self.runner = Runner(Store(folder), lambda: self._engines, queue=16, pace=Pace(steps=LONG))
        self._others: dict[tuple[str, int], Run] = {}
        self._made = 0
        self.left: dict[Run, int] = {}
        close = self.runner.finisher.close

        def noting(run: Run, outcome: Outcome, **more: Any) -> None:
            self.left[run] = self.begun  # in the stepping thread, before its next step
            close(run, outcome, **more)

        self.runner.finisher.close = noting  # type: ignore[method-assign]

    @property
    def begun(self) -> int:
        return sum(engine.begun for engine in self._engines.values())

    async def one(self, tier: str, tenant: str) -> Run:
        """A new run, once it has made a step."""
        self._made += 1
        run, _ = await self.runner.submit(_of(tiny(self._made, steps=LONG, tenant=tenant), tier))
        await _until(run, Stage.DENOISE)
        return run

    async def fill(self) -> None:
        """All of `BESIDE` are at work."""
        for tier, count in BESIDE.items():
            for number in range(count):
                other = self._others.get((tier, number))
                if other is None or other.report is not None or other.progress.stage is not Stage.DENOISE:
                    self._others[tier, number] = await self.one(tier, f"other {number}")


async def among(engine: Engine, count: int, folder: Path) -> tuple[list[int], list[float]]:
    """Steps of anybody that were begun after each cancel until the run was let go, and seconds until its report was
    stored."""
    crowd, chance = Crowd(engine, folder), random.Random(4)
    await crowd.runner.start()
    begun: list[int] = []
    took: list[float] = []
    for number in range(count):
        run = await crowd.one("low", "cancels")
        await crowd.fill()
        await asyncio.sleep(chance.uniform(0, 0.05))
        before, at = crowd.begun, time.perf_counter()
        await crowd.runner.cancel(run.name)
        took.append(time.perf_counter() - at)
        begun.append(crowd.left[run] - before)
        if run.report is None or run.report.outcome is not Outcome.CANCELLED:
            raise RuntimeError(f"run {number} was not cancelled: {run.report}")
    await crowd.runner.stop()
    return begun, took


def rows(engine: Engine, count: int) -> list[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        begun, took = asyncio.run(among(engine, count, Path(folder) / "store"))
    print(
        f"{count} cancels among {sum(BESIDE.values())} begun runs: to the stored report "
        f"{1000 * np.median(took):.0f} ms at the median, {1000 * max(took):.0f} at most"
    )
    name = f"steps of anybody begun after a cancel among {sum(BESIDE.values())} begun runs ({count}), at most"
    return [Goal(name=name, value=max(begun), compare="<=", target=1)]


def _of(request: Request, tier: str) -> Request:
    return dataclasses.replace(request, take=dataclasses.replace(request.take, tier=tier))


async def _until(run: Run, stage: Stage) -> Progress:
    async for progress in run.follow():
        if progress.stage is stage:
            return progress
    raise RuntimeError(f"the run ended before {stage}")
