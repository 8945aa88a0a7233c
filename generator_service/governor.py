"""What the runner asks before, around and after its steps: admission, the ladder, the watchdog, and what steps teach.

The event loop calls `admit`, `standing` and `ended`; the stepping thread calls the rest. No torch at import.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from generator_service import flops, ladder
from generator_service.admission import Admission
from generator_service.breaker import Breaker, State
from generator_service.core import Expert, Progress, Report, Request, Rung, Stage, Take
from generator_service.descent import Descent
from generator_service.estimate import Estimator
from generator_service.geometry import Geometry
from generator_service.graphs import Graphs
from generator_service.memory import Memory, host_bytes
from generator_service.run import Run
from generator_service.scheduler import Bytes, Company, Limits, Scheduler
from generator_service.watchdog import Watchdog

if TYPE_CHECKING:
    from generator_service.engine import Engine

Guard = Callable[[Run], AbstractContextManager[object]]


class Governor:
    """``memory_bytes``: what a CPU may use, None for all of the host's; a GPU says it itself. ``guard`` is entered around every
    step: a device of a given size (`Allocations`), or one that fails where a test wants it to. ``measure``: make a few
    small steps when the models are loaded, so that there is an estimate before the first video. ``admitting`` and
    ``climbing`` turn admission by memory and the ladder off, for comparison. ``peak`` is the most bytes that were ever in use
    on the device; None asks a GPU, and nobody on a CPU.
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
        peak: Callable[[], int] | None = None,
        admitting: bool = True,
        climbing: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.watchdog = watchdog or Watchdog()
        self.estimator = Estimator()
        self.admission: Admission | None = None
        self.descent = Descent({}, ())
        self._memory_bytes, self._breaker, self._guard, self._measure = memory_bytes, breaker, guard, measure
        self._admitting, self._climbing, self._clock = admitting, climbing, clock
        self._dead, self._peak, self._most = False, peak, 0
        self._made_before, self._graphs = 0, Graphs()
        self._engines: Mapping[str, Engine] = {}
        self._geometries: Mapping[str, Geometry] = {}
        self._high = functools.cache(self._count_high)

    def loaded(self, engines: Mapping[str, Engine]) -> None:
        """The models are on the device."""
        from generator_service import measure

        self._engines = engines
        device = next(iter(engines.values())).parts.device
        there = ladder.rungs(device.type)
        self.descent = Descent(engines, there)
        self._peak = self._peak or functools.partial(measure.peak, device)
        self._most = self._peak()
        self._memory = memory = Memory(measure.available(device, self._memory_bytes or host_bytes()), there)
        geometries = {tier: measure.geometry(engine.parts) for tier, engine in engines.items()}
        self.admission = Admission(
            geometries,
            memory,
            self.estimator,
            breaker=self._breaker,
            missing=lambda take: engines[take.tier].text.missing(take),
            clock=self._clock,
        )
        self._geometries = geometries
        for tier, engine in engines.items() if self._measure else ():
            measure.steps(engine, geometries[tier], self.estimator, room=memory.available)

    # What the event loop calls.

    def admit(
        self,
        request: Request,
        left: float | None,
        scheduler: Scheduler[Run],
        done: frozenset[Stage] = frozenset(),
    ) -> None:
        """``done``: stages that it has behind it already. Raises what `Admission.check` raises."""
        if self.admission is None or not self._admitting:
            return
        take, priority = request.take, self._engines[request.take.tier].tier.priority
        forecast = functools.partial(scheduler.forecast, take.tenant, now=self._clock(), priority=priority)
        self.admission.check(request, left=left, forecast=lambda own: forecast(predicted=own), done=done)

    def now(self) -> float:
        """Seconds on the clock that `standing` goes by."""
        return self._clock()

    def standing(self, request: Request, done: frozenset[Stage] = frozenset()) -> dict[str, Any]:
        """What the scheduler has to know of a run beside its tenant."""
        known = self.admission is not None and request.take.tier in self._engines
        memory = None
        if self.admission is not None and known and self._admitting:
            # Runs that are taken up again were admitted by another process, perhaps of another device.
            rung = self.admission.fit(request.take).rung or Rung.PLAIN
            self.descent.enter(request, rung)
            held, peak, room = self._memory.beside(self._geometries[request.take.tier], request.take, rung)
            memory = Bytes(held=held, peak=peak, room=room)
        if self.admission is not None and known:
            self.admission.expect(request)
        return {
            "memory": memory,
            "now": self._clock(),
            "priority": self._engines[request.take.tier].tier.priority if known else 0,
            "predicted": (self.admission.seconds(request.take, done) or 0.0) if self.admission and known else 0.0,
            "expert": self.expert(request, Progress(stage=Stage.QUEUED)) if known else "",
            "company": self.company(request, Progress(stage=Stage.QUEUED)) if known else None,
        }

    def ended(self, request: Request, report: Report | None) -> None:
        """A run is over."""
        self.descent.leave(request)
        if self.admission is None or request.take.tier not in self._engines:
            return
        if report is not None and (spent := report.device_ms.get(Stage.ENCODE)):
            geometry = self._geometries[request.take.tier]
            kind = flops.stages(geometry, geometry.shape(request.take))[Stage.ENCODE][0]
            self.estimator.step(request.take.tier, Stage.ENCODE, kind, spent / 1000)
        self.admission.ended(request, report)

    def stuck(self) -> bool:
        """Whether the step under way should long have been made, or nobody is left to make one."""
        return self._dead or self.watchdog.stuck(self._clock())

    @property
    def breakers(self) -> dict[str, State]:
        """The state of each tier's breaker, for the figures; none before the models are loaded."""
        now = self._clock()
        return {tier: each.state(now) for tier, each in self.admission.breakers.items()} if self.admission else {}

    # What the stepping thread calls.

    @contextmanager
    def step(self, run: Run) -> Iterator[None]:
        """Around one step of ``run``. Raises `watchdog.StuckError` after one that took far too long."""
        self.descent.put(run)
        self._made_before = self._texts_made(take := run.request.take)
        graphs = self._graphs.step(run, self._engines[take.tier].tier.compile)
        with graphs, self._watched(run, None if self._graphs.making else self._longest(run.request)):
            yield
        self._learn_peak(run)

    @contextmanager
    def step_many(self, runs: Sequence[Run]) -> Iterator[None]:
        """As `step`, around one step that all of ``runs`` make together."""
        for run in runs:
            self.descent.put(run)
        longest = [self._longest(run.request) for run in runs]
        with self._watched(runs[0], None if None in longest else sum(each for each in longest if each is not None)):
            yield
        # The peak of them all says nothing of one; but the device's highest mark is where it is.
        if self._peak is not None:
            self._most = max(self._most, self._peak())

    @contextmanager
    def _watched(self, run: Run, longest: float | None) -> Iterator[None]:
        self.watchdog.begin(self._clock(), longest)
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
        compiled = self._graphs.making and progress.stage is Stage.DENOISE
        if compiled or self.descent.rung(request) is not Rung.PLAIN or take.tier not in self._geometries:
            return
        geometry, texts = self._geometries[take.tier], self._texts_made(take) - self._made_before
        kinds = flops.stages(geometry, geometry.shape(take), texts)[progress.stage]
        # One that goes on from a snapshot projects in the middle.
        first = self._is_first(take, progress) or (texts > 0 and progress.stage is Stage.DENOISE)
        self.estimator.step(take.tier, progress.stage, kinds[0 if first else -1], seconds)

    def expert(self, request: Request, progress: Progress) -> str:
        """Which expert the step after ``progress`` needs; "" where that does not matter."""
        if not self.limits.group or progress.stage not in (Stage.QUEUED, Stage.TEXT, Stage.DENOISE):
            return ""
        return self._next_expert(request, progress)

    def company(self, request: Request, progress: Progress) -> Company | None:
        """With whom the step after ``progress`` may be made together; None where its tier is exact, where its shape is not small
        or where it does not denoise. Who is short of memory stays by itself."""
        take = request.take
        geometry = self._geometries.get(take.tier)
        if geometry is None or not geometry.batch_tokens or self.descent.rung(request) > Rung.TILED:
            return None
        if progress.stage is Stage.DECODE or (progress.stage is Stage.DENOISE and progress.step >= take.steps):
            return None
        shape = geometry.shape(take)
        tokens = self.tokens(request)
        if 2 * tokens > geometry.batch_tokens:
            return None
        return Company(
            key=f"{self._next_expert(request, progress)}/{shape.frames}x{shape.height}x{shape.width}",
            tokens=tokens,
            budget=geometry.batch_tokens,
            most=geometry.batch_requests,
        )

    def tokens(self, request: Request) -> int:
        """Latent tokens of one of its steps, all passes counted."""
        geometry = self._geometries[request.take.tier]
        shape = geometry.shape(request.take)
        return shape.passes * geometry.tokens(shape)

    def _next_expert(self, request: Request, progress: Progress) -> str:
        take = request.take
        done = progress.step if progress.stage is Stage.DENOISE else 0
        return f"{take.tier}/{'high' if done < self._high(take.tier, take.steps) else 'low'}"

    def made_by(self, request: Request, progress: Progress) -> Expert:
        """Which expert made the denoise step that ended in ``progress``."""
        take = request.take
        return Expert.HIGH if progress.step <= self._high(take.tier, take.steps) else Expert.LOW

    def lower(self, run: Run, error: BaseException) -> Rung | None:
        """See `Descent.lower`."""
        return self.descent.lower(run, error) if self._climbing else None

    def relieve(self) -> None:
        """After the failed work was dropped."""
        self.descent.relieve()

    def died(self) -> None:
        """The stepping thread is gone."""
        self._dead = True

    def _learn_peak(self, run: Run) -> None:
        """A step that needed more than any before it has shown its own peak: the device's highest mark is that step's.

        What others held beside it counts as its own, so the correction errs towards too much.
        """
        if self._peak is None or (peak := self._peak()) <= self._most:
            return
        self._most, take = peak, run.request.take
        need = self._memory.need(self._geometries[take.tier], take)
        self._memory.correction(take.tier).observe(need.stage(run.tally.stage, self.descent.rung(run.request)), peak)

    def _longest(self, request: Request) -> float | None:
        """Seconds of the longest step that ``request`` has."""
        take = request.take
        geometry = self._geometries[take.tier]
        stages = flops.stages(geometry, geometry.shape(take))
        found = [
            self.estimator.of_step(take.tier, stage, max(stages[stage]))
            for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE)
        ]
        return None if None in found else max(each for each in found if each is not None)

    def _texts_made(self, take: Take) -> int:
        """So far, by this tier: encoded, and projected for an expert. A step does one or the other."""
        text = self._engines[take.tier].text
        return text.states.counts.made + text.kvs.counts.made

    def _is_first(self, take: Take, progress: Progress) -> bool:
        """Whether the step that ended in ``progress`` was the first of its expert, or of its stage."""
        if progress.stage is Stage.DENOISE:
            return progress.step in (1, self._high(take.tier, take.steps) + 1)
        return progress.step <= 1

    def _count_high(self, tier: str, steps: int) -> int:
        from generator_service import measure

        return measure.high_steps(self._engines[tier].parts, steps)
