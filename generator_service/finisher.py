"""Ends runs, beside the stepping: pictures to a stored video in one thread, runs without a video in another.

A store that is full or gone delays an end and never loses it: what is made waits here until the store takes it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from generator_service import post
from generator_service.claims import Claims
from generator_service.core import Outcome, Progress, Report, Stage
from generator_service.heartbeat import Heartbeat
from generator_service.keeper import Drop, Keeper
from generator_service.metrics import Metrics
from generator_service.objects import StoreUnavailableError
from generator_service.run import Run
from generator_service.store import RunOverError, Store, artefact_of
from generator_service.worker import Worker, failure_of

if TYPE_CHECKING:
    from generator_service.engine import Pictures

log = logging.getLogger(__name__)

# Videos that may wait for the encoder: the stepping thread rests when it is this far ahead, so that pictures never pile
# up.
AHEAD_OF_ENCODER = 2
AGAIN_S = 0.5
Before = TypeVar("Before")
Done = TypeVar("Done")


class Told(Protocol):
    """What of `runner.Runner` is told here: that a run has come to a stage, that the store holds it up and why, and that it is over,
    with its report once that is stored; None when this process could not end it."""

    def advanced(self, run: Run, progress: Progress) -> None: ...
    def held_up(self, run: Run, why: str) -> None: ...
    def ended(self, run: Run, report: Report | None) -> None: ...


class Finisher:
    """What a run raises here, a panic of a native library too, ends that run and nothing else.

    ``told`` is called from its threads. ``worker`` is set before the first run.
    """

    worker: Worker

    def __init__(
        self,
        store: Store,
        claims: Claims,
        keeper: Keeper,
        heart: Heartbeat,
        metrics: Metrics,
        told: Told,
    ) -> None:
        self._store, self._claims, self._keeper, self._heart, self._told = store, claims, keeper, heart, told
        self._metrics = metrics
        self._delivered: dict[Run, None] = {}
        self._stopping = threading.Event()
        self._room = threading.Semaphore(AHEAD_OF_ENCODER)
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="close")

    def deliver(self, run: Run, pieces: list[Pictures]) -> None:
        """Waits while too many are ahead."""
        self._delivered[run] = None
        self._room.acquire()
        self._encoder.submit(self._deliver, run, pieces)

    def close(self, run: Run, outcome: Outcome, **more: Any) -> None:
        """Ends a run that has no video."""
        self._closer.submit(self._close, run, outcome, **more)

    def fail(self, run: Run, error: BaseException) -> None:
        log.error("the run of %s failed in %s", run.name, run.tally.stage, exc_info=error)
        self.close(run, Outcome.FAILED, failure=failure_of(error, run.tally.stage))

    def hurry(self) -> None:
        """From now on nothing waits for a store that does not take it at once."""
        self._stopping.set()

    def stop(self) -> None:
        """What is being encoded is finished, and stored when the store takes it at once."""
        self.hurry()
        self._encoder.shutdown()
        self._closer.shutdown()

    def _deliver(self, run: Run, pieces: list[Pictures]) -> None:
        try:
            self._enter(run, Stage.ENCODE)
            begun = self.worker.clock(run.request)
            data = post.finish(pieces, run.request.finish)
            spent = self.worker.clock(run.request) - begun
            run.tally.device_ns[Stage.ENCODE] += spent
            self._metrics.step(run.request.take.tier, Stage.ENCODE, None, spent / 1e9)
            if run.cancelling:
                self._delivered.pop(run, None)
                self.close(run, Outcome.CANCELLED)
                return
            self._enter(run, Stage.STORE)
            report = self.worker.report(run, Outcome.DONE, video=artefact_of(data))
            self._end(
                run,
                report,
                lambda: self._store.video_tag(run.name),
                lambda before: self._store.put_video(run.name, data, report, before),
            )
        except BaseException as error:
            self._delivered.pop(run, None)
            self.fail(run, error)
        finally:
            self._delivered.pop(run, None)
            self._go_on()
            self._room.release()

    def _enter(self, run: Run, stage: Stage) -> None:
        run.tally.stage = stage
        self._told.advanced(run, Progress(stage=stage, steps=1))
        if run.trace is not None:
            run.trace.stage(stage)

    def _close(self, run: Run, outcome: Outcome, **more: Any) -> None:
        try:
            report = self.worker.report(run, outcome, **more)
            self._keeper.offer(run, Drop())
            self._end(run, report, lambda: None, lambda _: self._store.put_report(run.name, report))
        except BaseException as error:
            log.error("the report of %s cannot be made", run.name, exc_info=error)
            self._told.ended(run, None)

    def _end(
        self, run: Run, report: Report, look: Callable[[], Before], write: Callable[[Before], Report | None]
    ) -> None:
        """Snapshot, report, claim, in this order: dying between any two leaves nothing behind that nobody would find.

        ``write`` gives the report that stands: another owner of the run may have ended it while we were taken for dead.
        """

        def given_up() -> bool:
            if self._keeper.failing:
                self._held_up(run, "what is kept of its take cannot be written yet")
            return (self._stopping.is_set() and self._keeper.failing) or not self._heart.holds(run.held)

        def end_claim(_: None) -> bool:
            self._claims.end(run.name)
            return True

        stands = None
        if self._keeper.settle(run.request.take_name, given_up):
            stands = self._insist(run, look, write)
        if stands is not None and not self._insist(run, lambda: None, end_claim):
            stands = None
        if stands is not None and stands.video is None:
            self._keeper.look(run)
        self._told.ended(run, stands)

    def _insist(self, run: Run, look: Callable[[], Before], write: Callable[[Before], Done | None]) -> Done | None:
        """What ``write`` gives, over what ``look`` saw; None when the run is not ours any more, or we stop. The lease is asked in
        between: whoever takes the run over later writes later, and then ``write`` finds something else and does nothing."""
        while self._heart.holds(run.held):
            try:
                before = look()
                if self._heart.sure and self._heart.holds(run.held):
                    if (done := write(before)) is not None:
                        return done
                else:
                    self._held_up(run, "the lease cannot be renewed")
            except StoreUnavailableError as error:
                self._held_up(run, str(error))
            except RunOverError:
                log.warning("a later run of %s was accepted: this one is not ended here", run.name)
                return None
            if self._stopping.wait(AGAIN_S):
                break
        return None

    def _held_up(self, run: Run, why: str) -> None:
        """Where that is the encoder's, so are those behind it, whose pictures are made."""
        for each in list(self._delivered) if run in self._delivered else [run]:
            self._told.held_up(each, why)

    def _go_on(self) -> None:
        """The encoder is free for those that waited behind a run which the store had held up."""
        for each in list(self._delivered):
            if each.progress.waits_for_store:
                self._told.advanced(each, dataclasses.replace(each.progress, waits_for_store=False))
