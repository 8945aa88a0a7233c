"""The thread that steps: it asks the scheduler whose turn it is and makes one step of that run, until it is stopped.

Where a tier batches, others may come along: their steps are one call of the engine, and all else is each run's own.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from generator_service import ladder
from generator_service.charging import Charging
from generator_service.claims import ClaimLostError, Claims
from generator_service.core import Outcome, Progress, Report, Rung, Stage
from generator_service.finisher import Finisher
from generator_service.governor import Governor
from generator_service.heartbeat import Heartbeat
from generator_service.metrics import Metrics
from generator_service.objects import StoreUnavailableError
from generator_service.run import Run
from generator_service.scheduler import QueueFullError, Scheduler
from generator_service.watchdog import device_lost
from generator_service.worker import Work, Worker, now_ms

if TYPE_CHECKING:
    from generator_service.engine import Engine

log = logging.getLogger(__name__)

AGAIN_S = 0.25
Engines = Mapping[str, "Engine"]


class Stepper:
    """One plain thread for one device. ``advanced``, ``held_up`` (by the store, and why) and ``ended`` are called in it; ``died``
    too, as its last deed, when it cannot go on: nobody steps from then on."""

    worker: Worker

    def __init__(
        self,
        claims: Claims,
        heart: Heartbeat,
        finisher: Finisher,
        *,
        queue: int,
        governor: Governor,
        metrics: Metrics,
        advanced: Callable[[Run, Progress], None],
        held_up: Callable[[Run, str], None],
        ended: Callable[[Run, Report | None], None],
        died: Callable[[], None],
    ) -> None:
        self._claims, self._heart, self._finisher = claims, heart, finisher
        self._governor, self._metrics = governor, metrics
        self._advanced, self._held_up, self._ended, self._died = advanced, held_up, ended, died
        self._scheduler: Scheduler[Run] = Scheduler(queue, governor.limits)
        self._changed = threading.Condition()
        self._charging = Charging(self._scheduler, self._changed, governor, metrics)
        self._stopping = False
        self._work: dict[Run, Work] = {}
        self._thread = threading.Thread(target=self._main, name="step", daemon=True)

    def start(
        self, load: Callable[[], Worker], loaded: Callable[[Engines], None], failed: Callable[[BaseException], None]
    ) -> None:
        """``load`` is called in the thread, since torch keeps its number of threads by thread; then one of the others."""
        self._load, self._loaded, self._failed = load, loaded, failed
        self._thread.start()

    def stop(self) -> None:
        """Between two steps; what is at work is kept."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        self._thread.join()

    @property
    def full(self) -> bool:
        return self._scheduler.full

    @property
    def depth(self) -> tuple[int, int]:
        """Runs that wait for their first step, and runs in the middle."""
        with self._changed:
            return len(self._scheduler), self._scheduler.begun

    def promise(self, run: Run, left: float | None, done: frozenset[Stage] = frozenset()) -> None:
        """Keeps a place in line for ``run``, which is not stored yet, so that whoever is asked for next finds it taken; `add` or
        `release` follows. ``left`` are the seconds until its caller's deadline, ``done`` the stages whose work is stored. Raises
        `scheduler.QueueFullError` and what `Admission.check` raises."""
        request = run.request
        with self._changed:
            if self._scheduler.full_for(request.take.tenant):
                raise QueueFullError(self._scheduler.retry_after())
            self._governor.admit(request, left, self._scheduler, done)
            self._scheduler.add(request.take.tenant, run, promised=True, **self._governor.standing(request, done))

    def release(self, run: Run) -> None:
        """The place that was kept for ``run`` is free again."""
        with self._changed:
            self._scheduler.end(run)
        self._governor.ended(run.request, None)

    def add(self, run: Run) -> None:
        """A run that we claimed, in line for its steps. Raises `scheduler.QueueFullError` where no place was kept for it."""
        with self._changed:
            if not self._scheduler.fulfil(run, now=self._governor.now()):
                self._scheduler.add(run.request.take.tenant, run, **self._governor.standing(run.request))
            run.queued_at = time.monotonic()
            self._changed.notify()

    def withdraw(self, run: Run) -> bool:
        """Takes ``run`` out of the line; False when it is at work already, or past it. One that is at work has the next turn:
        call with its ``cancelling`` set, or its claim lost."""
        with self._changed:
            self._changed.notify()
            withdrawn = self._scheduler.withdraw(run.request.take.tenant, run)
            if not withdrawn:
                self._scheduler.hasten(run)
            return withdrawn

    def _main(self) -> None:
        try:
            self.worker = self._finisher.worker = self._load()
            self._governor.loaded(self.worker.engines)
        except BaseException as error:
            self._failed(error)
            return
        self._loaded(self.worker.engines)
        try:
            while runs := self._turn():
                self._advance(runs)
            for work in self._work.values():
                work.save()
        except BaseException as error:  # a device that is broken, or a fault of ours: said aloud, never a silent end
            log.critical("the stepping thread cannot go on", exc_info=error)
            self._governor.died()
            self._died()

    def _turn(self) -> list[Run]:
        """Waits for a run that wants a step, which comes first, with those that may make theirs together with it; none when the
        service stops. Rests while the lease is not sure: others might be at the same step."""
        with self._changed:
            while not self._stopping:
                sure = self._heart.sure
                run = self._scheduler.next() if sure else None
                if run is not None:
                    return self._scheduler.mates(run)
                for each in self._work if not sure else ():
                    self._held_up(each, "the lease cannot be renewed")
                self._changed.wait(None if sure else AGAIN_S)
        return []

    def _advance(self, runs: list[Run]) -> None:
        """One step of the first of ``runs``, and of the others where it is one step for all. Who was cancelled makes none."""
        going = [run for run in runs if not self._over(run)]
        together = [run for run in going if run in self._work and self._work[run].denoising is not None]
        if len(together) > 1 and together[0] is runs[0]:
            self._step_many(together)
        elif going and going[0] is runs[0]:
            self._advance_one(runs[0])

    def _over(self, run: Run) -> bool:
        """Whether ``run`` was cancelled or is not ours any more; then it is closed."""
        if self._heart.holds(run.held) and not run.cancelling:
            return False
        self._leave(run)
        if self._heart.holds(run.held):
            self._finisher.close(run, Outcome.CANCELLED)
        else:
            self._ended(run, None)
        return True

    def _advance_one(self, run: Run) -> None:
        """One step of one run. Whatever it raises, a panic of a native library too, ends that run and nothing else; a store
        that is away only delays it."""
        try:
            self._step(run)
        except StoreUnavailableError as error:
            self._held_up(run, str(error))
            self._work.pop(run, None)
            with self._changed:
                self._changed.wait(AGAIN_S)
        except ClaimLostError:
            self._leave(run)
            self._ended(run, None)
        except BaseException as error:
            self._fault(run, error)

    def _fault(self, run: Run, error: BaseException) -> None:
        """Raises ``error`` again where nobody can step any more: what is stored of the run goes on in the next process."""
        if device_lost(error):
            raise error
        rung = self._governor.lower(run, error)
        if rung is None:
            self._leave(run)
            self._finisher.fail(run, error)
            return
        log.warning("out of memory: %s goes down to %s", run.name, rung.name)
        self._again(run, rung)

    def _again(self, run: Run, rung: Rung) -> None:
        """The run keeps its place and goes on from what is stored of it."""
        self._work.pop(run, None)
        self._governor.relieve()
        if rung is Rung.ALONE:
            with self._changed:
                self._scheduler.isolate(run)

    def _step(self, run: Run) -> None:
        work = self._begun(run)
        since, begun = time.time_ns(), self.worker.clock(run.request)
        with self._governor.step(run):
            made = work.step()
        if isinstance(made, Progress):
            spent = self.worker.clock(run.request) - begun
            # What a step takes in company is no measure of one alone, so only this one teaches the estimates.
            self._governor.made(run.request, made, spent / 1e9)
            self._made(run, work, made, spent, spent, since)
            return
        self._leave(run)
        self._finisher.deliver(run, made)

    def _step_many(self, runs: Sequence[Run]) -> None:
        """A denoise step of each of ``runs`` in one. What it took is split by the latent tokens that each had in it."""
        from generator_service.batch import shares

        works = [self._work[run] for run in runs]
        for run in runs:
            run.tally.stage = Stage.DENOISE
        since = time.time_ns()
        begun, errors = self.worker.clock(runs[0].request), None
        try:
            with self._governor.step_many(runs):
                errors = works[0].engine.step_many([work.denoising for work in works if work.denoising is not None])
        except BaseException as error:
            self._part(runs, error)
        if errors is None:
            return
        spent = self.worker.clock(runs[0].request) - begun
        parts = shares(spent, [self._governor.tokens(run.request) for run in runs])
        for run, work, kept_from_it, own in zip(runs, works, errors, parts, strict=True):
            try:
                if kept_from_it is not None:
                    self._charging.charge(run, Progress(stage=Stage.DENOISE), own, spent, since)
                    raise kept_from_it
                self._made(run, work, work.joined(), own, spent, since)
            except BaseException as error:
                self._fault(run, error)

    def _part(self, runs: Sequence[Run], error: BaseException) -> None:
        """A shared step failed, and who is at fault is not known: from now on each of ``runs`` steps by itself, where whatever
        it is happens to that one alone, or to none. The time that was lost is nobody's."""
        if device_lost(error):
            raise error
        log.warning("a step of %d runs failed, each goes on alone", len(runs), exc_info=error)
        # The frames of the traceback hold the tensors of the step that failed.
        traceback.clear_frames(error.__traceback__)
        if ladder.out_of_memory(error):
            self._governor.relieve()
        with self._changed:
            for run in runs:
                self._scheduler.part(run)

    def _made(self, run: Run, work: Work, made: Progress, own: int, turn: int, since: int) -> None:
        self._charging.charge(run, made, own, turn, since)
        work.save_if_due()
        self._advanced(run, made)

    def _begun(self, run: Run) -> Work:
        """The work of ``run``, with what is stored of it: before its time is taken. Its attempt is counted before its first
        step. Runs take turns by the step, so that a turn's end is no reason for a snapshot: each keeps its own pace."""
        work = self._work.get(run)
        if work is None:
            if run.held is not None and not run.held.claim.begun:
                run.held = self._claims.begin(run.name, run.held)
                run.tally.attempts = run.held.claim.attempts
            run.tally.started_ms = run.tally.started_ms or now_ms()
            if run.queued_at is not None:  # not when it goes on after a trouble
                self._metrics.began(run.request.take.tier, time.monotonic() - run.queued_at)
                run.queued_at = None
            work = self.worker.work(run)
            work.read()
            self._work[run] = work
        return work

    def _leave(self, run: Run) -> None:
        self._work.pop(run, None)
        with self._changed:
            self._scheduler.end(run)
