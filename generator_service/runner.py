"""Joins scheduler, engines and store: requests come in by the door (door.py), one plain thread steps (stepper.py), others keep,
encode and store (keeper.py, finisher.py) and show that we live (heartbeat.py); the event loop, here, looks on.

Equal requests in flight share one run. A run ends by itself or by `Runner.cancel`, never because somebody stopped
watching, nor because a process died: see recovery.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from generator_service.claims import ClaimLostError, Claims
from generator_service.core import Outcome, Progress, Report, Request
from generator_service.door import Door
from generator_service.figures import Figures
from generator_service.finisher import Finisher
from generator_service.governor import Governor
from generator_service.heartbeat import Heartbeat
from generator_service.inquiry import Inquiry, Outlook
from generator_service.keeper import Counts, Keeper
from generator_service.lease import Clock
from generator_service.metrics import Metrics
from generator_service.names import NameLocks
from generator_service.objects import StoreUnavailableError
from generator_service.recovery import Recovery
from generator_service.run import Run
from generator_service.scheduler import QueueFullError
from generator_service.stepper import Stepper
from generator_service.store import Store
from generator_service.trace import RunTrace
from generator_service.worker import Pace, Worker

if TYPE_CHECKING:
    from generator_service.engine import Engine

log = logging.getLogger(__name__)
FLUSH_S = 10.0


class Runner:
    """Belongs to the event loop in which it is made. ``load`` is called once, in the stepping thread, and may take
    minutes. ``governor`` says who may run, and how. ``died`` is called in the loop when the stepping thread is gone.

    ``runs`` are those under way that this process makes or watches, by name; whoever adds one holds its name (``names``).
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], Mapping[str, Engine]],
        *,
        queue: int,
        governor: Governor | None = None,
        metrics: Metrics | None = None,
        lease_seconds: float = 15.0,
        pace: Pace | None = None,
        clock: Clock = time.monotonic,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self.governor, self.metrics = governor or Governor(), metrics or Metrics()
        self._store, self._load, self._pace, self._dead = store, load, pace or Pace(), died
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Mapping[str, Engine]] = self._loop.create_future()
        self.names = NameLocks()
        self.runs: dict[str, Run] = {}
        self.stopping = self._gave_up = False
        self._claims = Claims(store.objects)
        self.heart = Heartbeat(
            store.objects,
            ttl=lease_seconds,
            clock=clock,
            lost=lambda: self._tell(self._drop_lost),
            cancels=lambda names: self._tell(self._recovery.heed, names),
        )
        self._keeper = Keeper(store, self._claims, self.heart)
        self.finisher = Finisher(store, self._claims, self._keeper, self.heart, self.metrics, self)
        self._recovery = Recovery(self, store, ttl=lease_seconds, clock=clock)
        self._stepper = Stepper(
            self._claims,
            self.heart,
            self.finisher,
            queue=queue,
            governor=self.governor,
            metrics=self.metrics,
            advanced=self.advanced,
            held_up=self.held_up,
            ended=self.ended,
            died=self._died,
        )
        self.inquiry = Inquiry(store, self._claims)
        self._door = Door(self, store, self._claims, self._stepper, self._recovery)
        self.metrics.registry.register(Figures(self))

    # What the event loop calls.

    async def start(self) -> Mapping[str, Engine]:
        """Starts the thread; the engines, once they are loaded. Raises what ``load`` raised. Unfinished work is taken up."""
        self._stepper.start(
            lambda: Worker(self._load(), self._store, self._keeper, self._pace),
            lambda engines: self._tell(self._loaded.set_result, engines),
            lambda error: self._tell(self._loaded.set_exception, error),
        )
        engines = await asyncio.shield(self._loaded)
        self._keeper.start()
        await asyncio.to_thread(self.heart.start)
        self._recovery.start()
        return engines

    async def stop(self) -> None:
        """Running work stops between two steps, with a snapshot and without a report; what is being encoded is finished and
        stored. The rest is given back for others to take."""
        self.stopping = True
        self._stepper.stop()
        self.finisher.hurry()  # the stepping thread may be waiting for it, and it for a store that is gone
        # A load may take minutes and cannot be stopped; the thread is a daemon and dies with the process.
        if self._loaded.done():
            await asyncio.to_thread(self._stepper.join)
        await self._recovery.stop()
        await asyncio.to_thread(self._leave_in_order)
        await self._door.close()
        self._gave_up = True
        for run in list(self.runs.values()):
            self._end(run, None)

    async def submit(self, request: Request, *, left: float | None = None, proposed: str = "") -> tuple[Run, bool]:
        """The run of ``request``, and whether it was under way already, here or elsewhere. A finished run when the video is
        stored. ``left`` are the seconds until the caller's deadline, ``proposed`` is the id that a new run shall have; a run of
        that id that has ended is what was asked for.

        Raises `QueueFullError`, `StoppingError`, `StoreUnavailableError` or what `Admission.check` raises. A caller that goes
        away in the middle changes nothing.
        """
        opening = asyncio.ensure_future(self._door.open(request, left, proposed))
        # Who has gone away does not ask how it went.
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(opening)

    async def cancel(self, name: str, wanted: str = "", *, wished: bool = False) -> None:
        """Stops the run of ``name`` between two steps and returns when it has ended; nothing when there is none, or not the
        ``wanted`` one. The wish is stored for who takes the run up, should it not end here; ``wished``: it is already. Raises
        `StoreUnavailableError`."""
        run = self.runs.get(name)
        if run is None or run.held is None:
            run, wished = await self._recovery.cancel(name, wanted), True
        if run is None or wanted not in ("", run.id):
            return
        if run.held is not None:
            # First of all: the stop waits for no store.
            run.cancelling = True
            if not self.stopping and self._stepper.withdraw(run):
                self.finisher.close(run, Outcome.CANCELLED)
            if not wished:
                await self._recovery.wish(run, must=self.stopping)
        await run.wait()

    def active(self, name: str) -> Run | None:
        """The run of ``name`` that has not ended."""
        return self.runs.get(name)

    async def where(self, name: str) -> Progress:
        """Where an unfinished run is; of another generator's, as that told it last. Raises `StoreUnavailableError`."""
        run = self.runs.get(name)
        return run.progress if run is not None else await asyncio.to_thread(self._recovery.where, name)

    async def outlook(self, request: Request) -> Outlook:
        """What `submit` would make of ``request``. Raises `StoreUnavailableError`."""
        run = self.runs.get(request.name)
        found = await asyncio.to_thread(self.inquiry.outlook, request)
        # Latents on their way to the store are there; a run that ended in between is in what was found.
        denoised = found.denoised or self._keeper.latents(request.take_name) is not None
        joined = run.id if run is not None and run.report is None else found.run
        if run is not None and run.cancelling and joined == run.id:
            joined = ""  # who asks now waits for its end and opens another
        return dataclasses.replace(found, run=joined if found.stored is None else found.run, denoised=denoised)

    @property
    def engines(self) -> Mapping[str, Engine]:
        return self._stepper.worker.engines

    @property
    def loaded(self) -> Mapping[str, Engine]:
        """The engines; none until they are loaded."""
        done = self._loaded.done() and not self._loaded.cancelled() and self._loaded.exception() is None
        return self._loaded.result() if done else {}

    @property
    def depth(self) -> tuple[int, int]:
        """Runs that wait for their first step, and runs in the middle."""
        return self._stepper.depth

    @property
    def troubles(self) -> int:
        """Calls to the store that failed."""
        return self._store.objects.troubles

    @property
    def held_up_runs(self) -> int:
        """Runs of ours that wait for a store which is full or away."""
        return sum(run.progress.waits_for_store for run in list(self.runs.values()) if run.held is not None)

    @property
    def full(self) -> bool:
        return self._stepper.full

    @property
    def snapshots(self) -> Counts:
        return self._keeper.counts

    def enqueue(self, run: Run) -> None:
        """A run that we claimed, in line for its steps. Raises `QueueFullError` where no place was kept for it."""
        run.trace = RunTrace.begin(run.request, run.held.claim.trace if run.held is not None else "")
        try:
            self._stepper.add(run)
        except QueueFullError:
            if run.trace is not None:
                run.trace.end(None)
            raise
        self.runs[run.name] = run
        if self._gave_up:
            self._end(run, None)

    def _drop_lost(self) -> None:
        """The lease was lost. What the stepping thread has begun it leaves by itself."""
        for run in list(self.runs.values()):
            if run.held is not None and not self.heart.holds(run.held) and self._stepper.withdraw(run):
                self._end(run, None)

    def _give_up(self) -> None:
        """The stepping thread is gone: nothing begins here any more, and who watches is told to ask again."""
        self.stopping = self._gave_up = True
        for run in list(self.runs.values()):
            if run.held is not None:
                self._end(run, None)
        self._dead()

    def _end(self, run: Run, report: Report | None) -> None:
        if self.runs.get(run.name) is not run:
            return  # given up before
        del self.runs[run.name]
        # What others made says nothing of this device.
        if run.held is not None:
            self.governor.ended(run.request, report)
            if report is not None:
                self.metrics.ended(run.request.take.tier, report)
        if run.trace is not None:
            run.trace.end(report)
        run.end(report)

    def end_elsewhere(self, run: Run, report: Report | None) -> None:
        """A run that we only watched is over."""
        self._end(run, report)

    # What the threads call that work on runs.

    def advanced(self, run: Run, progress: Progress) -> None:
        progress = dataclasses.replace(progress, device_ms=run.tally.device_ms)
        self.heart.tell(run.name, progress)
        # Waking the event loop costs a quick step a part of its time.
        if run.made(progress, time.monotonic(), self._pace.told):
            self._tell(run.tell, progress)

    def held_up(self, run: Run, why: str) -> None:
        """By a store that is full or away. Said once, until the run goes on."""
        if (waiting := run.held_up()) is not None:
            log.warning("%s waits for the store: %s", run.name, why)
            self.advanced(run, waiting)

    def ended(self, run: Run, report: Report | None) -> None:
        self.heart.tell(run.name, None)
        self._tell(self._end, run, report)

    def _died(self) -> None:
        """Others may take all that is ours at once, from its snapshots: with the lease goes every claim under it."""
        self._tell(self._give_up)
        self.heart.stop()

    def _leave_in_order(self) -> None:
        self.finisher.stop()
        self._keeper.close(FLUSH_S)
        for run in list(self.runs.values()):
            if run.held is not None and self.heart.holds(run.held):
                with suppress(StoreUnavailableError, ClaimLostError):
                    if run.cancelling:
                        self._claims.ask_to_cancel(run.name, run.held.claim.run)
                    self._claims.give_back(run.name, run.held)
        self.heart.stop()

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls in the event loop; nothing when that is gone already."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)
