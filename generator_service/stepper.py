"""The thread that steps: it asks the scheduler whose turn it is and makes one step of that run, until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from generator_service.claims import ClaimLostError, Claims
from generator_service.core import Outcome, Progress, Report, Request
from generator_service.finisher import Finisher
from generator_service.governor import Governor
from generator_service.heartbeat import Heartbeat
from generator_service.memory import Rung
from generator_service.objects import StoreUnavailableError
from generator_service.run import Run
from generator_service.scheduler import QueueFullError, Scheduler
from generator_service.worker import Work, Worker, now_ms

if TYPE_CHECKING:
    from generator_service.engine import Engine

log = logging.getLogger(__name__)

AGAIN_S = 0.25
Engines = Mapping[str, "Engine"]


class Stepper:
    """One plain thread for one device. ``advanced`` and ``ended`` are called in it; ``died`` too, as its last deed, when it
    cannot go on: nobody steps from then on."""

    worker: Worker

    def __init__(
        self,
        claims: Claims,
        heart: Heartbeat,
        finisher: Finisher,
        *,
        queue: int,
        governor: Governor,
        advanced: Callable[[Run, Progress], None],
        ended: Callable[[Run, Report | None], None],
        died: Callable[[], None],
    ) -> None:
        self._claims, self._heart, self._finisher = claims, heart, finisher
        self._governor = governor
        self._advanced, self._ended, self._died = advanced, ended, died
        self._scheduler: Scheduler[Run] = Scheduler(queue, governor.limits)
        self._changed = threading.Condition()
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

    def admit(self, request: Request, left: float | None) -> None:
        """Whether ``request`` may be put in line; ``left`` are the seconds until its caller's deadline. Raises
        `scheduler.QueueFullError` and what `Admission.check` raises."""
        with self._changed:
            if self._scheduler.full_for(request.take.tenant):
                raise QueueFullError(self._scheduler.retry_after())
            self._governor.admit(request, left, self._scheduler)

    def add(self, run: Run) -> None:
        """A run that we claimed, in line for its steps. Raises `scheduler.QueueFullError`."""
        with self._changed:
            self._scheduler.add(run.request.take.tenant, run, **self._governor.standing(run.request))
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
            while (run := self._turn()) is not None:
                self._advance(run)
            for work in self._work.values():
                work.save()
        except BaseException as error:  # a device that is broken, or a fault of ours: said aloud, never a silent end
            log.critical("the stepping thread cannot go on", exc_info=error)
            self._governor.died()
            self._died()

    def _turn(self) -> Run | None:
        """Waits for a run that wants a step; None when the service stops. Rests while the lease is not sure: others might be
        at the same step."""
        with self._changed:
            while not self._stopping:
                run = self._scheduler.next() if self._heart.sure else None
                if run is not None:
                    return run
                self._changed.wait(None if self._heart.sure else AGAIN_S)
        return None

    def _advance(self, run: Run) -> None:
        """One step of one run. Whatever it raises, a panic of a native library too, ends that run and nothing else; a store
        that is away only delays it."""
        try:
            if run.cancelling or not self._heart.holds(run.held):
                self._leave(run)
                if self._heart.holds(run.held):
                    self._finisher.close(run, Outcome.CANCELLED)
                else:
                    self._ended(run, None)
                return
            self._step(run)
        except StoreUnavailableError as error:
            log.warning("%s waits for the store: %s", run.name, error)
            self._work.pop(run, None)
            with self._changed:
                self._changed.wait(AGAIN_S)
        except ClaimLostError:
            self._leave(run)
            self._ended(run, None)
        except BaseException as error:
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
        begun = self.worker.clock(run.request)
        with self._governor.step(run):
            made = work.step()
        if isinstance(made, Progress):
            self._account(run, made, self.worker.clock(run.request) - begun)
            work.save_if_due()
            self._advanced(run, made)
            return
        self._leave(run)
        self._finisher.deliver(run, made)

    def _account(self, run: Run, made: Progress, nanoseconds: int) -> None:
        """What a step took goes to the run's tally, to its tenant's share and to the estimates."""
        run.tally.device_ns[made.stage] += nanoseconds
        self._governor.made(run.request, made, nanoseconds / 1e9)
        with self._changed:
            self._scheduler.charge(run, nanoseconds / 1e9, expert=self._governor.expert(run.request, made))

    def _begun(self, run: Run) -> Work:
        """The work of ``run``, with what is stored of it: before its time is taken. Its attempt is counted before its first
        step. Runs take turns by the step, so that a turn's end
        is no reason for a snapshot: each keeps its own pace."""
        work = self._work.get(run)
        if work is None:
            if run.held is not None and not run.held.claim.begun:
                run.held = self._claims.begin(run.name, run.held)
                run.tally.attempts = run.held.claim.attempts
            run.tally.started_ms = run.tally.started_ms or now_ms()
            work = self.worker.work(run)
            work.read()
            self._work[run] = work
        return work

    def _leave(self, run: Run) -> None:
        self._work.pop(run, None)
        with self._changed:
            self._scheduler.end(run)
