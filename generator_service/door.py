"""From a request to its run: the stored video, the run that is under way here or elsewhere, or a new one."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING

from generator_service.admission import DeadlineError, TooLargeError
from generator_service.breaker import BreakerOpenError
from generator_service.claims import Claims, Held
from generator_service.core import Expert, Report, Request, Reuse, Stage
from generator_service.objects import StoreUnavailableError
from generator_service.recovery import Recovery
from generator_service.run import Run
from generator_service.scheduler import QueueFullError
from generator_service.stepper import Stepper
from generator_service.store import Store

if TYPE_CHECKING:
    from generator_service.runner import Runner


class StoppingError(Exception):
    """The service is going away and begins nothing new."""


class Door:
    """Belongs to the event loop, as the runner whose runs it opens."""

    def __init__(self, runner: Runner, store: Store, claims: Claims, stepper: Stepper, recovery: Recovery) -> None:
        self._runner, self._store, self._claims = runner, store, claims
        self._stepper, self._recovery = stepper, recovery

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
        stored = await asyncio.to_thread(self._store.finished, request.name)
        if stored is not None:
            return self._over(stored, request, proposed)
        async with self._runner.admission:
            return None if request.name in self._runner.runs else await self._open(request, left, proposed)

    async def _open(self, request: Request, left: float | None, proposed: str) -> tuple[Run, bool] | None:
        """None when it ended elsewhere in this moment."""
        if self._runner.stopping:
            raise StoppingError
        # Looked at before the request is stored: only holders of the admission lock add.
        refusal = self._refusal(request, left)
        held = None if refusal is not None else await self._accepted(request, proposed)
        if isinstance(held, Report):
            return self._over(held, request, proposed)
        if held is not None:
            run = Run(request, held=held)
            self._runner.enqueue(run)
            return run, False
        # Whoever is refused here may still watch a run that is made elsewhere.
        attached = await self._recovery.attach(request.name)
        if attached is None and refusal is not None:
            raise refusal
        return None if attached is None else (attached, True)

    def _refusal(self, request: Request, left: float | None) -> Exception | None:
        try:
            self._stepper.admit(request, left)
        except (QueueFullError, TooLargeError, DeadlineError, BreakerOpenError) as error:
            self._runner.metrics.refused(error)
            return error
        return None

    async def _accepted(self, request: Request, proposed: str) -> Held | Report | None:
        """See `_accept`. A request that was admitted and gets no run tells the governor so: it may have been its probe."""
        held = None
        try:
            held = await asyncio.to_thread(self._accept, request, proposed)
        finally:
            if not isinstance(held, Held):
                self._runner.governor.ended(request, None)
        return held

    def _accept(self, request: Request, proposed: str) -> Held | Report | None:
        """Our claim, once the request is stored; None when somebody has one; the report when the video is there, or when the
        run that was proposed has ended before. The claim comes first, so that nothing that is stored is ever without one, and
        the last look after it: another's run may have ended since the one before, and what it made is not to be deleted."""
        held = self._claims.open(request.name, self._runner.heart.owner, proposed)
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
