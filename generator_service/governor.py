"""What the runner asks before, around and after its steps: admission, the ladder, the watchdog, and what steps teach.

The event loop calls `admit`, `standing` and `ended`; the stepping thread calls the rest. No torch at import.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from generator_service import flops, ladder
from generator_service.admission import Admission
from generator_service.breaker import Breaker
from generator_service.core import Progress, Report, Request, Reuse, Stage
from generator_service.estimate import Estimator
from generator_service.memory import Memory, Rung
from generator_service.run import Run
from generator_service.scheduler import Limits, Scheduler
from generator_service.watchdog import Watchdog

if TYPE_CHECKING:
    from generator_service.engine import Engine

Guard = Callable[[Run], AbstractContextManager[object]]


class Governor:
    """``memory_bytes``: what a CPU may use, None for all of the host's; a GPU says it itself. ``guard`` is entered around every
    step: a device of a given size (`Allocations`), or one that fails where a test wants it to. ``measure``: make a few
    small steps when the models are loaded, so that there is an estimate before the first video. ``admitting`` and
    ``climbing`` turn admission by memory and the ladder off, for comparison.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        memory_bytes: int | None = None,
        watchdog: Watchdog | None = None,
        breaker: Callable[[str], Breaker] = Breaker,
        guard: Guard = lambda run: nullcontext(),
        measure: bool = False,
        admitting: bool = True,
        climbing: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.watchdog = watchdog or Watchdog()
        self.estimator = Estimator()
        self.admission: Admission | None = None
        self.lowered: Counter[Rung] = Counter()
        self._memory_bytes, self._breaker, self._guard, self._measure = memory_bytes, breaker, guard, measure
        self._admitting, self._climbing, self._clock = admitting, climbing, clock
        self._engines: Mapping[str, Engine] = {}
        self._rungs: dict[str, tuple[str, Rung]] = {}
        self._applied: dict[str, Rung] = {}
        self._high = functools.cache(self._count_high)

    def loaded(self, engines: Mapping[str, Engine]) -> None:
        """The models are on the device."""
        from generator_service import measure

        self._engines = engines
        device = next(iter(engines.values())).parts.device
        self._there = ladder.rungs(device.type)
        memory = Memory(measure.available(device, self._memory_bytes or host_bytes()), self._there)
        geometries = {tier: measure.geometry(engine.parts) for tier, engine in engines.items()}
        self.admission = Admission(geometries, memory, self.estimator, breaker=self._breaker, clock=self._clock)
        self._geometries = geometries
        for tier, engine in engines.items() if self._measure else ():
            measure.steps(engine, geometries[tier], self.estimator)

    # What the event loop calls.

    def admit(self, request: Request, left: float | None, scheduler: Scheduler[Run]) -> None:
        """Raises what `Admission.check` raises."""
        if self.admission is None:
            return
        take, priority = request.take, self._engines[request.take.tier].tier.priority
        forecast = functools.partial(scheduler.forecast, take.tenant, now=self._clock(), priority=priority)
        if not self._admitting:
            return
        rung = self.admission.check(request, left=left, forecast=lambda own: forecast(predicted=own))
        if rung is not Rung.PLAIN:
            self._rungs[request.name] = take.tier, rung

    def standing(self, request: Request) -> dict[str, Any]:
        """What the scheduler has to know of a run beside its tenant."""
        known = self.admission is not None and request.take.tier in self._engines
        return {
            "now": self._clock(),
            "priority": self._engines[request.take.tier].tier.priority if known else 0,
            "predicted": (self.admission.seconds(request.take) or 0.0) if self.admission and known else 0.0,
            "expert": self.expert(request, Progress(stage=Stage.QUEUED)) if known else "",
        }

    def ended(self, request: Request, report: Report | None) -> None:
        """A run is over."""
        self._rungs.pop(request.name, None)
        if self.admission is None or request.take.tier not in self._engines:
            return
        if report is not None and (spent := report.device_ms.get(Stage.ENCODE)):
            geometry = self._geometries[request.take.tier]
            work = flops.pixels(geometry, geometry.shape(request.take))
            self.estimator.step(request.take.tier, Stage.ENCODE, work, spent / 1000)
        self.admission.ended(request, report)

    def stuck(self) -> bool:
        """Whether the step under way should long have been made."""
        return self.watchdog.stuck(self._clock())

    # What the stepping thread calls.

    @contextmanager
    def step(self, run: Run) -> Iterator[None]:
        """Around one step of ``run``. Raises `watchdog.StuckError` after one that took far too long."""
        self._put(run)
        self.watchdog.begin(self._clock(), self._longest(run.request))
        try:
            with self._guard(run):
                yield
        except BaseException:
            self.watchdog.drop()
            raise
        self.watchdog.end(self._clock())

    def made(self, request: Request, progress: Progress, seconds: float) -> None:
        """A step of ``request`` took ``seconds`` of device time."""
        take = request.take
        if self._rung(request) is not Rung.PLAIN or take.tier not in self._geometries:
            return
        geometry = self._geometries[take.tier]
        kinds = dict(flops.stages(geometry, geometry.shape(take)).items())[progress.stage]
        work = kinds[0][0] if progress.step <= 1 else kinds[-1][0]
        self.estimator.step(take.tier, progress.stage, work, seconds)

    def expert(self, request: Request, progress: Progress) -> str:
        """Which expert the step after ``progress`` needs; "" where that does not matter."""
        take = request.take
        if not self.limits.group or progress.stage not in (Stage.QUEUED, Stage.TEXT, Stage.DENOISE):
            return ""
        done = progress.step if progress.stage is Stage.DENOISE else 0
        return f"{take.tier}/{'high' if done < self._high(take.tier, take.steps) else 'low'}"

    def lower(self, run: Run, error: BaseException) -> Rung | None:
        """The rung on which ``run`` has to run again after ``error``; None when that was not for want of memory, or when
        there is none left. Its tally starts anew; what failed is the house's own expense."""
        if not self._climbing or not ladder.out_of_memory(error):
            return None
        rung = ladder.below(self._rung(run.request), run.tally.stage, self._there)
        if rung is None:
            return None
        traceback.clear_frames(error.__traceback__)
        self.lowered[rung] += 1
        self._rungs[run.name] = run.request.take.tier, rung
        run.tally = dataclasses.replace(
            run.tally, stage=Stage.QUEUED, reuse=Reuse.NONE, denoise_steps=0, decode_steps=0, device_ns=Counter()
        )
        return rung

    def relieve(self) -> None:
        """After the failed work was dropped."""
        ladder.relieve(next(iter(self._engines.values())).parts.device)

    def _rung(self, request: Request) -> Rung:
        return self._rungs.get(request.name, (request.take.tier, Rung.PLAIN))[1]

    def _put(self, run: Run) -> None:
        """``run`` is told its rung; its tier's weights go where the lowest of its runs needs them."""
        run.tally.tiled = self._rung(run.request) >= Rung.TILED
        tier = run.request.take.tier
        wanted = max((rung for of, rung in list(self._rungs.values()) if of == tier), default=Rung.PLAIN)
        wanted = wanted if wanted >= Rung.EXPERT_OFFLOADED and Rung.EXPERT_OFFLOADED in self._there else Rung.PLAIN
        if self._applied.get(tier, Rung.PLAIN) is not wanted:
            from generator_service import offload

            offload.apply(self._engines[tier].parts, wanted)
            self._applied[tier] = wanted

    def _longest(self, request: Request) -> float | None:
        """Seconds of the longest step that ``request`` has."""
        take = request.take
        geometry = self._geometries[take.tier]
        stages = flops.stages(geometry, geometry.shape(take))
        found = [
            self.estimator.of_step(take.tier, stage, max(work for work, _ in stages[stage]))
            for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE)
        ]
        return None if None in found else max(each for each in found if each is not None)

    def _count_high(self, tier: str, steps: int) -> int:
        from generator_service import measure

        return measure.high_steps(self._engines[tier].parts, steps)


def host_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
