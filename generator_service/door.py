"""From a request to its run: the stored video, the run that is under way here or elsewhere, or a new one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from generator_service.admission import DeadlineError, TooLargeError
from generator_service.breaker import BreakerOpenError
from generator_service.claims import Claims, Held
from generator_service.core import UNTIL_LATENTS, Expert, Report, Request, Reuse, Stage
from generator_service.objects import StoreUnavailableError
from generator_service.recovery import Recovery
from generator_service.run import Run
from generator_service.scheduler import QueueFullError
from generator_service.stepper import Stepper
from generator_service.store import Store
from reelgate.rpc import telemetry

if TYPE_CHECKING:
    from generator_service.runner import Runner


# Requests that the store is asked about at a time.
AT_ONCE = 16
Arg = TypeVar("Arg")
Value = TypeVar("Value")


class StoppingError(Exception):
    """The service is going away and begins nothing new."""


class Door:
    """Belongs to the event loop, as the runner whose runs it opens."""

    def __init__(self, runner: Runner, store: Store, claims: Claims, stepper: Stepper, recovery: Recovery) -> None:
        self._runner, self._store, self._claims = runner, store, claims
        self._stepper, self._recovery = stepper, recovery
        # Its own, so that a slow store holds nobody up who does not ask it.
        self._threads: ThreadPoolExecutor | None = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="door")

    async def close(self) -> None:
        """What is being asked goes on to its end; who comes later is told of stored videos by the loop's own threads."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)

    async def open(self, request: Request, left: float | None, proposed: str) -> tuple[Run, bool]:
        """See `Runner.submit`."""
        while True:
            run = self._runner.runs.get(request.name)
            if run is None:
                opened = await self._begin(request, left, proposed)
                if opened is not None:
                    return opened
            elif not run.cancelling:
                return run, True
            else:
                await run.wait()

    async def _begin(self, request: Request, left: float | None, proposed: str) -> tuple[Run, bool] | None:
        """None when there is a run by now, or when one ended elsewhere in this moment. Nobody waits for another's look at the
        store: it is the one after the claim that counts, see `_accept`."""
        stored = await self._stored(self._store.finished, request.name)
        if stored is not None:
            return self._over(stored, request, proposed)
        # Only a deadline needs to know what the work ahead is.
        made = left is not None and await self._stored(self._store.denoised, request.take_name)
        done = UNTIL_LATENTS if made else frozenset()
        async with self._runner.names.of(request.name):
            if request.name in self._runner.runs:
                return None
            return await self._open(request, left, proposed, done)

    async def _open(
        self, request: Request, left: float | None, proposed: str, done: frozenset[Stage]
    ) -> tuple[Run, bool] | None:
        """None when it ended elsewhere in this moment."""
        if self._runner.stopping:
            raise StoppingError
        # The place in line is taken before the request is stored: others are asked for meanwhile.
        run = Run(request)
        refusal = self._refusal(run, left, done)
        held = None if refusal is not None else await self._accepted(run, proposed)
        if isinstance(held, Report):
            return self._over(held, request, proposed)
        if held is not None:
            run.held = held
            self._runner.enqueue(run)
            return run, False
        # Whoever is refused here may still watch a run that is made elsewhere.
        attached = await self._recovery.attach(request.name)
        if attached is None and refusal is not None:
            raise refusal
        return None if attached is None else (attached, True)

    def _refusal(self, run: Run, left: float | None, done: frozenset[Stage]) -> Exception | None:
        try:
            self._stepper.promise(run, left, done)
        except (QueueFullError, TooLargeError, DeadlineError, BreakerOpenError) as error:
            self._runner.metrics.refused(error)
            return error
        return None

    async def _accepted(self, run: Run, proposed: str) -> Held | Report | None:
        """See `_accept`. A request that was admitted and gets no run gives its place back, and may have been a breaker's probe."""
        held = None
        try:
            held = await self._stored(partial(self._accept, proposed=proposed, trace=telemetry.here()), run.request)
        finally:
            if not isinstance(held, Held):
                self._stepper.release(run)
        return held

    async def _stored(self, ask: Callable[[Arg], Value], about: Arg) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask, about)

    def _accept(self, request: Request, proposed: str, trace: str) -> Held | Report | None:
        """Our claim, once the request is stored; None when somebody has one; the report when the video is there, or when the
        run that was proposed has ended before. The claim comes first, so that nothing that is stored is ever without one, and
        the last look after it: another's run may have ended since the one before, and what it made is not to be deleted."""
        held = self._claims.open(request.name, self._runner.heart.owner, proposed, trace)
        if held is not None:
            try:
                last = self._store.report(request.name)
                ended = self._ended(request.name, last, proposed)
                if ended is not None:
                    self._claims.end(request.name)
                    return ended
                self._store.accept(request, held.claim.run, last=last)
            except StoreUnavailableError:
                with suppress(StoreUnavailableError):
                    self._claims.end(request.name)
                raise
        return held

    def _ended(self, name: str, last: Report | None, proposed: str) -> Report | None:
        """The report of the stored video, else of the proposed run, where there was one already: a caller that lost its answer
        asks again."""
        if last is not None and ((proposed and last.run == proposed) or self._store.stands(name, last)):
            return last
        return self._store.ended(name, proposed) if proposed else None

    def _over(self, report: Report, request: Request, proposed: str) -> tuple[Run, bool]:
        """What was proposed and has ended since is that run, with all that it used; anything else was made for somebody before."""
        if proposed and report.run == proposed:
            return Run(request, report), True
        return self._again(report, request), False

    def _again(self, report: Report, request: Request) -> Run:
        """A run that is over before it began: what is said of a video that was stored already."""
        again = dataclasses.replace(
            report,
            reuse=Reuse.VIDEO,
            denoise_steps=0,
            decode_steps=0,
            resumed_steps=0,
            lost_steps=0,
            reused_steps=request.take.steps,
            device_ms=dict[Stage, int](),
            expert_ms=dict[Expert, int](),
            saved_ms=sum(report.device_ms.values()),
        )
        self._runner.metrics.ended(request.take.tier, again)
        return Run(request, again)
