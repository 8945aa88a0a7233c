"""Joins scheduler, engines and store: one plain thread steps, a second one encodes and stores, the event loop looks on.

Equal requests in flight share one run. A run ends by itself or by `Runner.cancel`, never because somebody stopped
watching.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from generator_service import post
from generator_service.core import Outcome, Progress, Report, Request, Reuse, Stage
from generator_service.governor import Governor
from generator_service.memory import Rung
from generator_service.run import Run
from generator_service.scheduler import QueueFullError, Scheduler
from generator_service.store import Store, artefact_of
from generator_service.worker import Worker, failure_of, now_ms

if TYPE_CHECKING:
    from generator_service.engine import Engine, Pictures

log = logging.getLogger(__name__)

# Videos that may wait for the encoder: the stepping thread rests when it is this far ahead, so that pictures never pile
# up.
AHEAD_OF_ENCODER = 2


class StoppingError(Exception):
    """The service is going away and begins nothing new."""


class Runner:
    """Belongs to the event loop in which it is made. ``load`` is called once, in the stepping thread, and may take
    minutes. ``governor`` says who may run, and how.
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], Mapping[str, Engine]],
        *,
        queue: int,
        governor: Governor | None = None,
    ) -> None:
        self.governor = governor or Governor()
        self._store = store
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Mapping[str, Engine]] = self._loop.create_future()
        self._admission = asyncio.Lock()
        self._active: dict[str, Run] = {}
        self._scheduler: Scheduler[Run] = Scheduler(queue, self.governor.limits)
        self._changed = threading.Condition()
        self._stopping = False
        self._work: dict[Run, Iterator[Progress | list[Pictures]]] = {}
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._room = threading.Semaphore(AHEAD_OF_ENCODER)
        self._thread = threading.Thread(target=self._main, name="step", daemon=True)

    # What the event loop calls.

    async def start(self) -> Mapping[str, Engine]:
        """Starts the thread; the engines, once they are loaded. Raises what ``load`` raised."""
        self._thread.start()
        return await asyncio.shield(self._loaded)

    async def stop(self) -> None:
        """Running work stops between two steps, without a report; what is being encoded is finished and stored."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        # A load may take minutes and cannot be stopped; the thread is a daemon and dies with the process.
        if self._loaded.done():
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._encoder.shutdown)
        for run in list(self._active.values()):
            self._end(run, None)

    async def submit(self, request: Request, *, left: float | None = None) -> tuple[Run, bool]:
        """The run of ``request``, and whether it was under way already. A finished run when the video is stored. ``left``
        are the seconds until the caller's deadline.

        Raises `QueueFullError`, `StoppingError`, `StoreUnavailableError` or what `Admission.check` raises. A caller that goes
        away in the middle changes nothing.
        """
        return await asyncio.shield(asyncio.ensure_future(self._submit(request, left)))

    async def cancel(self, name: str) -> None:
        """Stops the run of ``name`` between two steps and returns when it has ended; nothing when there is none."""
        run = self._active.get(name)
        if run is None:
            return
        run.cancelling = True
        with self._changed:
            waits = self._scheduler.withdraw(run.request.take.tenant, run)
        if waits:
            await asyncio.to_thread(self._finish, run, Outcome.CANCELLED)
        await run.wait()

    def active(self, name: str) -> Run | None:
        """The run of ``name`` that has not ended."""
        return self._active.get(name)

    async def _submit(self, request: Request, left: float | None) -> tuple[Run, bool]:
        while True:
            async with self._admission:
                run = self._active.get(request.name)
                if run is None:
                    return await self._open(request, left), False
                if not run.cancelling:
                    return run, True
            await run.wait()

    async def _open(self, request: Request, left: float | None) -> Run:
        stored = await asyncio.to_thread(self._store.video, request.name)
        if stored is not None:
            fresh = dataclasses.replace(stored[0], reuse=Reuse.VIDEO, denoise_steps=0, decode_steps=0, device_ms={})
            return Run(request, fresh)
        if self._stopping:
            raise StoppingError
        # Looked at before the request is stored: only this place adds, and it holds the admission lock.
        with self._changed:
            if self._scheduler.full_for(request.take.tenant):
                raise QueueFullError(self._scheduler.retry_after())
            self.governor.admit(request, left, self._scheduler)
        try:
            await asyncio.to_thread(self._store.accept, request)
        except BaseException:
            self.governor.ended(request, None)
            raise
        run = Run(request)
        self._active[run.name] = run
        with self._changed:
            self._scheduler.add(request.take.tenant, run, **self.governor.standing(request))
            self._changed.notify()
        return run

    def _end(self, run: Run, report: Report | None) -> None:
        self._active.pop(run.name, None)
        self.governor.ended(run.request, report)
        run.end(report)

    # What the stepping thread does.

    def _main(self) -> None:
        try:
            self._worker = Worker(self._load(), self._store)
            self.governor.loaded(self._worker.engines)
        except BaseException as error:
            self._tell(self._loaded.set_exception, error)
            return
        self._tell(self._loaded.set_result, self._worker.engines)
        while (run := self._turn()) is not None:
            self._advance(run)

    def _turn(self) -> Run | None:
        """Waits for a run that wants a step; None when the service stops."""
        with self._changed:
            while not self._stopping:
                run = self._scheduler.next()
                if run is not None:
                    return run
                self._changed.wait()
        return None

    def _advance(self, run: Run) -> None:
        """One step of one run. Whatever it raises ends that run and nothing else."""
        try:
            if run.cancelling:
                self._leave(run)
                self._finish(run, Outcome.CANCELLED)
                return
            work = self._work.setdefault(run, self._worker.steps(run.request, run.tally))
            run.tally.started_ms = run.tally.started_ms or now_ms()
            begun = self._worker.clock(run.request)
            with self.governor.step(run):
                made = next(work)
            if isinstance(made, Progress):
                self._account(run, made, self._worker.clock(run.request) - begun)
                self._tell(run.advance, made)
                return
            self._leave(run)
            self._room.acquire()
            self._encoder.submit(self._deliver, run, made)
        except Exception as error:
            rung = self.governor.lower(run, error)
            if rung is None:
                self._leave(run)
                self._fail(run, error)
                return
            log.warning("out of memory: %s goes down to %s", run.name, rung.name)
            self._again(run, rung)

    def _account(self, run: Run, made: Progress, nanoseconds: int) -> None:
        """What a step took goes to the run's tally, to its tenant's share and to the estimates."""
        run.tally.device_ns[made.stage] += nanoseconds
        self.governor.made(run.request, made, nanoseconds / 1e9)
        with self._changed:
            self._scheduler.charge(run, nanoseconds / 1e9, expert=self.governor.expert(run.request, made))

    def _again(self, run: Run, rung: Rung) -> None:
        """The run keeps its place and starts from what is stored of it."""
        self._work.pop(run, None)
        self.governor.relieve()
        if rung is Rung.ALONE:
            with self._changed:
                self._scheduler.isolate(run)

    def _leave(self, run: Run) -> None:
        self._work.pop(run, None)
        with self._changed:
            self._scheduler.end(run)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls in the event loop; nothing when that is gone already."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    # What the encoding thread does.

    def _deliver(self, run: Run, pieces: list[Pictures]) -> None:
        """Pictures to a stored video. A run that was cancelled in the meantime stores none."""
        try:
            run.tally.stage = Stage.ENCODE
            begun = self._worker.clock(run.request)
            data = post.finish(pieces, run.request.finish)
            run.tally.device_ns[Stage.ENCODE] += self._worker.clock(run.request) - begun
            if run.cancelling:
                self._finish(run, Outcome.CANCELLED)
                return
            run.tally.stage = Stage.STORE
            report = self._worker.report(run.request, run.tally, Outcome.DONE, video=artefact_of(data))
            self._store.put_video(run.name, data, report)
            self._tell(self._end, run, report)
        except Exception as error:
            self._fail(run, error)
        finally:
            self._room.release()

    def _fail(self, run: Run, error: Exception) -> None:
        log.error("the run of %s failed in %s", run.name, run.tally.stage, exc_info=error)
        self._finish(run, Outcome.FAILED, failure=failure_of(error, run.tally.stage))

    def _finish(self, run: Run, outcome: Outcome, **more: Any) -> None:
        """Ends a run that has no video. A store that cannot take the report is logged: whoever watches still hears how
        it ended.
        """
        report = self._worker.report(run.request, run.tally, outcome, **more)
        try:
            self._store.put_report(run.name, report)
        except Exception as error:
            log.error("the report of %s is not stored", run.name, exc_info=error)
        self._tell(self._end, run, report)
