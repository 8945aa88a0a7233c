"""One run of one video, as the event loop sees it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import AsyncIterator

from generator_service.claims import Held
from generator_service.core import Expert, Meter, Progress, Report, Request, Reuse, Rung, Stage
from generator_service.trace import RunTrace


@dataclasses.dataclass(kw_only=True)
class Tally:
    """What a run has used so far; touched only by the thread that works on it.

    ``known_steps`` is how many denoise steps an earlier process is known to have made of this run. ``rung``: where it is on the
    ladder of memory; ``tiled``: its pictures were decoded in tiles.
    """

    stage: Stage = Stage.QUEUED
    reuse: Reuse = Reuse.NONE
    denoise_steps: int = 0
    decode_steps: int = 0
    resumed_steps: int = 0
    reused_steps: int = 0
    lost_steps: int = 0
    restarted: bool = False
    attempts: int = 0
    known_steps: int = 0
    rung: Rung = Rung.PLAIN
    tiled: bool = False
    device_ns: Counter[Stage] = dataclasses.field(default_factory=Counter)
    expert_ns: Counter[Expert] = dataclasses.field(default_factory=Counter)
    saved_ns: int = 0
    started_ms: int = 0

    @property
    def device_ms(self) -> int:
        """All stages together."""
        return sum(self.device_ns.values()) // 1_000_000

    def meter(self) -> Meter:
        """For a snapshot."""
        return Meter(
            denoise_steps=self.denoise_steps,
            lost_steps=self.lost_steps,
            reused_steps=self.reused_steps,
            saved_ns=self.saved_ns,
            device_ns=dict(self.device_ns),
            expert_ns=dict(self.expert_ns),
        )

    def go_on(self, meter: Meter) -> None:
        """This run's own work up to what is stored counts, once; what was done after it, and this time's text, does not."""
        self.denoise_steps = self.resumed_steps = meter.denoise_steps
        self.lost_steps = meter.lost_steps
        self.reused_steps, self.saved_ns = meter.reused_steps, meter.saved_ns
        self.device_ns, self.expert_ns = Counter(meter.device_ns), Counter(meter.expert_ns)


class Run:
    """Followers come and go; the run goes on until it ends, is cancelled, or the service stops (then ``report`` stays
    None).

    `made` and `held_up` belong to the thread that works on the run (its steps', the encoder's or that which closes it, one after the
    other), all others to the event loop's. ``cancelling`` is read by the
    stepping thread between two steps. ``held`` is our claim on it; None while another generator makes it (``watched`` is its id),
    and we only pass on what the store knows. ``queued_at`` is when it was put in line, on the monotonic clock; None before, and from
    its first step on. ``trace`` is there where traces are kept.
    """

    def __init__(
        self, request: Request, report: Report | None = None, held: Held | None = None, watched: str = ""
    ) -> None:
        self.request = request
        self._watched = watched
        self.held = held
        self.name = request.name
        self.progress = Progress(stage=Stage.QUEUED)
        self.report = report
        self.cancelling = False
        self.queued_at: float | None = None
        self.trace: RunTrace | None = None
        self.tally = Tally()
        self._told, self._told_at = self.progress, -math.inf
        self._over = asyncio.Event()
        self._followers: set[asyncio.Queue[Progress | None]] = set()
        if report is not None:
            self._over.set()

    @property
    def id(self) -> str:
        """Tells the runs of one name apart."""
        if self.held is not None:
            return self.held.claim.run
        return self.report.run if self.report is not None else self._watched

    def made(self, progress: Progress, now: float, least: float) -> bool:
        """A step is done, or the run comes to another stage; ``now`` is on a monotonic clock. Whether followers are to be told: of
        the first and the last step of a stage always, of the others when ``least`` seconds have passed since they were told.
        """
        self.progress = progress
        told = self._told
        within = progress.stage is told.stage and progress.waits_for_store == told.waits_for_store
        within = within and progress.step < progress.steps
        if within and now - self._told_at < least:
            return False
        self._told, self._told_at = progress, now
        return True

    def held_up(self) -> Progress | None:
        """The run has to wait for the store: what is to be told of it; None when that was told already."""
        if self.progress.waits_for_store:
            return None
        return dataclasses.replace(self.progress, waits_for_store=True)

    def advance(self, progress: Progress) -> None:
        """The run has come to ``progress``, as its owner tells."""
        self.progress = progress
        self.tell(progress)

    def tell(self, progress: Progress) -> None:
        """Tells every follower."""
        for follower in self._followers:
            follower.put_nowait(progress)

    def end(self, report: Report | None) -> None:
        """The run is over; ``report`` is None when the service stopped under it."""
        self.report = report
        self._over.set()
        for follower in self._followers:
            follower.put_nowait(None)

    async def wait(self) -> Report | None:
        """The report, once the run is over."""
        await self._over.wait()
        return self.report

    async def follow(self) -> AsyncIterator[Progress]:
        """Where the run is, then its steps (of many quick ones some, see `made`), until it is over. Closing the iterator does not
        touch the run."""
        if self._over.is_set():
            return
        line: asyncio.Queue[Progress | None] = asyncio.Queue()
        line.put_nowait(self.progress)
        self._followers.add(line)
        try:
            while (progress := await line.get()) is not None:
                yield progress
        finally:
            self._followers.discard(line)
