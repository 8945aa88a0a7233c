"""What outlives a process: runs whose owner died or went away are taken up again, those of a living owner are watched.

The event loop's side of claims and leases. Every ``ttl / 5`` it looks who is still there; a claim is read again only when its
owner is not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from generator_service.claims import ClaimLostError, Claims, Held
from generator_service.core import Failure, Outcome, Progress, Request, Stage
from generator_service.heartbeat import BEATS
from generator_service.lease import Clock, Watcher
from generator_service.objects import StoreUnavailableError
from generator_service.run import Run
from generator_service.scheduler import QueueFullError
from generator_service.store import Made, Store
from generator_service.worker import GENERATION_FAILED, POISONED

if TYPE_CHECKING:
    from generator_service.runner import Runner

log = logging.getLogger(__name__)
MOST_BETWEEN_LOOKS_S = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """A run that we claimed: where its last owner was, what of it is durable, and whether it is to be stopped."""

    request: Request
    held: Held
    where: Progress | None
    made: Made
    cancelled: bool


class Recovery:
    """Belongs to the event loop; its methods that block run in threads. Whoever takes a run or attaches to it
    holds its name; looks for the dead, wishes and watching go on beside them."""

    def __init__(self, runner: Runner, store: Store, *, ttl: float, clock: Clock = time.monotonic) -> None:
        self._runner, self._store = runner, store
        self._claims = Claims(store.objects)
        self._watcher = Watcher(store.objects, ttl=ttl, clock=clock)
        self._every = ttl / BEATS
        self._owners: dict[str, str] = {}
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heeding: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._spawn(self._main())
        self._spawn(self._sweep())

    async def stop(self) -> None:
        self._stopped.set()
        # They wait for runs that end only after this; the wishes are stored, for who takes those runs up.
        for task in self._heeding:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def attach(self, name: str) -> Run | None:
        """The unfinished run of ``name``, ours by now or watched; None when there is none. Who calls holds the name."""
        await self._consider(name)
        run = self._runner.runs.get(name)
        if run is not None:
            return run
        record = await asyncio.to_thread(self._unfinished, name)
        if record is None or self._stopped.is_set():
            return None
        request, held = record
        run = self._runner.runs[name] = Run(request, watched=held.claim.run)
        self._spawn(self._watch(run, held.claim.run))
        return run

    async def cancel(self, name: str, wanted: str = "") -> Run | None:
        """The run of ``name``: ours by now, or another generator's who was asked to stop it. None: there is none, or not the
        ``wanted`` one.

        The wish comes first, so that a run which nobody could make may still be taken, to be ended.
        """
        held = await asyncio.to_thread(self._claims.read, name)
        if held is not None and wanted in ("", held.claim.run):
            await asyncio.to_thread(self._claims.ask_to_cancel, name, held.claim.run)
        elif wanted:
            return None
        async with self._runner.names.of(name):
            return await self.attach(name)

    async def wish(self, run: Run, *, must: bool) -> None:
        """That ``run``, which is being stopped here, be stopped wherever it goes on. Where that is not a ``must``, a store that is away
        keeps nobody from stopping it."""
        try:
            await asyncio.to_thread(self._claims.ask_to_cancel, run.name, run.id)
        except StoreUnavailableError as error:
            if must:
                raise
            log.warning("the wish to stop %s is not stored: %s", run.name, error)

    def heed(self, names: list[str]) -> None:
        """Somebody wants these stopped."""
        if self._stopped.is_set():
            return
        for name in names:
            run = self._runner.runs.get(name)
            if run is not None and run.held is not None and not run.cancelling:
                task = self._spawn(self._cancel(name, run.held.claim.run))
                self._heeding.add(task)
                task.add_done_callback(self._heeding.discard)

    def where(self, name: str) -> Progress:
        """Of an unfinished run that is not ours. Blocks."""
        held = self._claims.read(name)
        found = self._watcher.where(held.claim.owner, name) if held is not None and held.claim.owner else None
        return found or Progress(stage=Stage.QUEUED)

    async def _cancel(self, name: str, run: str) -> None:
        if await asyncio.to_thread(self._claims.is_cancelled, name, run):
            await self._runner.cancel(name, run, wished=True)

    async def _main(self) -> None:
        away = False
        while not self._stopped.is_set():
            try:
                await self._scan()
                away = False
            except StoreUnavailableError as error:
                if not away:
                    log.warning("unfinished runs cannot be looked for: %s", error)
                away = True
            except Exception as error:  # whoever looks after the dead must not die of one of them
                log.error("looking for unfinished runs failed", exc_info=error)
            await self._pause(self._every)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _sweep(self) -> None:
        """Once, beside everything: what has a request, no report and no claim (an older version's) gets one that is nobody's.

        It may list a store of a million videos, so nothing waits for it.
        """
        while not self._stopped.is_set():
            try:
                await asyncio.to_thread(self._claim_orphans)
                return
            except StoreUnavailableError as error:
                log.warning("the store cannot be swept: %s", error)
            await self._pause(self._every)

    def _claim_orphans(self) -> None:
        for name in self._store.unreported():
            if self._stopped.is_set():
                return
            if self._claims.read(name) is None:
                record = self._store.record(name)
                if record is not None and record.report is None:
                    self._claims.open(name, "", record.run)

    async def _scan(self) -> None:
        names, alive, wishes = await asyncio.to_thread(self._look)
        # What we claimed and do not make (its report could not be made, say) is nobody else's to take while we live.
        alive.discard(self._runner.heart.owner)
        self._owners = {name: owner for name, owner in self._owners.items() if name in names}
        for name in names:
            run = self._runner.runs.get(name)
            if self._owners.get(name) in alive or (run is not None and run.held is not None):
                continue
            if self._stopped.is_set():
                return
            async with self._runner.names.of(name):
                await self._consider(name)
        for name in wishes.difference(names):
            await asyncio.to_thread(self._claims.forget_wish, name)

    def _look(self) -> tuple[list[str], set[str], set[str]]:
        """Unfinished runs, living owners of those that were seen before, and wishes to cancel, which are read first: a wish
        without a run is one that came too late."""
        wishes, names = set(self._claims.cancels()), self._claims.names()
        self._watcher.look()
        alive = {owner for owner in set(self._owners.values()) if self._watcher.alive(owner)}
        return names, alive, wishes

    async def _consider(self, name: str) -> None:
        """Takes the run of ``name`` when its owner is gone."""
        found = await asyncio.to_thread(self._take, name)
        if found is None:
            return
        # Whoever watched it goes on watching.
        run = self._runner.runs.get(name) or Run(found.request)
        run.held = found.held
        claim, where, tally = found.held.claim, found.where, run.tally
        tally.attempts = claim.attempts
        if where is not None:
            tally.known_steps = _denoised(where, found.request.take.steps)
        if not (claim.poisoned or found.cancelled):
            try:
                self._runner.enqueue(run)
            except QueueFullError:  # somebody took the last place since we looked
                run.held = None
                await asyncio.to_thread(self._claims.give_back, name, found.held)
            return
        self._runner.runs[name] = run
        if found.made.run == claim.run:
            tally.go_on(found.made.meter)
        if found.cancelled:
            run.cancelling = True
            self._runner.finisher.close(run, Outcome.CANCELLED)
            return
        stage = where.stage if where is not None else Stage.DENOISE
        failure = Failure(reason=GENERATION_FAILED, stage=stage, cause=POISONED)
        self._runner.finisher.close(run, Outcome.FAILED, failure=failure)

    def _take(self, name: str) -> Found | None:
        run = self._runner.runs.get(name)
        held = self._claims.read(name)
        if held is None or (run is not None and run.held is not None):
            return None
        me, owner = self._runner.heart.owner, held.claim.owner
        self._owners[name] = owner
        if owner not in ("", me) and self._watcher.alive(owner):
            return None
        where = self._watcher.where(owner, name) if owner else None
        record = self._store.record(name)
        if record is None or record.report is not None:
            # It died between its report and the end of its claim, or before it had accepted anything.
            if record is None and self._store.objects.get(f"{name}/request.json") is not None:
                log.error("the request of %s cannot be read, so nobody can make it", name)
            self._claims.bury(name, held, me)
            return None
        # Its end needs neither an engine nor a place in line.
        cancelled = self._claims.is_cancelled(name, held.claim.run)
        makeable = record.request.take.tier in self._runner.engines and not self._runner.full
        if self._runner.stopping or not (makeable or cancelled):
            return None
        made = self._store.made(record.request)
        try:
            held = self._claims.change(name, held, held.claim.taken(me, made.mark))
        except ClaimLostError:
            return None
        self._owners[name] = me
        self._runner.metrics.taken_over.inc()
        log.info("taken over", extra={"video": name, "attempts": held.claim.attempts, "mark": made.mark})
        return Found(request=record.request, held=held, where=where, made=made, cancelled=cancelled)

    def _unfinished(self, name: str) -> tuple[Request, Held] | None:
        held = self._claims.read(name)
        record = None if held is None else self._store.record(name)
        return None if held is None or record is None else (record.request, held)

    async def _watch(self, run: Run, wanted: str) -> None:
        """Passes on what the owner of ``run`` tells, until its report is there, its claim is gone, or the run is ours."""
        while not self._stopped.is_set() and run.held is None and self._runner.runs.get(run.name) is run:
            try:
                unfinished = await asyncio.to_thread(self._unfinished, run.name)
                if unfinished is None or unfinished[1].claim.run != wanted:
                    if run.held is None:
                        record = await asyncio.to_thread(self._store.record, run.name)
                        report = record.report if record is not None else None
                        self._runner.end_elsewhere(run, report if report and report.run == wanted else None)
                    return
                where = await asyncio.to_thread(self.where, run.name)
                if where != run.progress and run.held is None:
                    run.advance(where)
            except StoreUnavailableError as error:
                log.warning("%s cannot be watched: %s", run.name, error)
            await self._pause(min(self._every, MOST_BETWEEN_LOOKS_S))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _denoised(where: Progress, steps: int) -> int:
    if where.stage is Stage.DENOISE:
        return where.step
    return steps if where.stage in (Stage.DECODE, Stage.ENCODE, Stage.STORE) else 0
