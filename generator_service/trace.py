"""A run as spans: the run, in it its time in line and its stages; of the steps of a stage some are told, as events.

Other runs step in between, so that a stage lasts longer than its steps take. Several threads tell, one after the other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from generator_service.core import Expert, Progress, Report, Request, Stage
from reelgate.rpc import telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class RunTrace:
    """Of one run, from when it is put in line."""

    def __init__(self, whole: Span) -> None:
        self._whole = whole
        self._every = telemetry.steps()
        self._stage = Stage.QUEUED
        self._span = telemetry.start(Stage.QUEUED.value, parent=whole)

    @classmethod
    def begin(cls, request: Request, above: str = "") -> RunTrace | None:
        """Below ``above``, the traceparent of the call that brought ``request``, perhaps to a process that has died since; else below the
        current span. None where none is kept."""
        take = request.take
        shape = f"{take.width}x{take.height}x{take.frames}"
        about = {"reelgate.video": request.name, "reelgate.tier": take.tier, "reelgate.shape": shape}
        whole = telemetry.start("run", {**about, "reelgate.steps": take.steps}, parent=above)
        return None if whole is None else cls(whole)

    def step(self, made: Progress, expert: Expert | None, begun: int, nanoseconds: int) -> None:
        """A step that began at ``begun`` (Unix time in nanoseconds) led to ``made`` and took ``nanoseconds`` of device time."""
        self.stage(made.stage, begun)
        if self._span is None or not (made.step in (1, made.steps) or made.step % self._every == 0):
            return
        about: dict[str, str | int | float] = {"reelgate.step": made.step, "reelgate.device_ms": nanoseconds / 1e6}
        self._span.add_event("step", {**about, "reelgate.expert": expert} if expert else about)

    def stage(self, stage: Stage, at: int | None = None) -> None:
        """From ``at`` on (now) the run is in ``stage``."""
        if stage is self._stage:
            return
        at = at or time.time_ns()
        if self._span is not None:
            self._span.end(at)
        self._stage, self._span = stage, telemetry.start(stage.value, parent=self._whole, at=at)

    def end(self, report: Report | None) -> None:
        """The run is over; None where the service stopped under it."""
        if self._span is not None:
            self._span.end()
        outcome = "left" if report is None else report.outcome
        about: dict[str, str | int] = {"reelgate.outcome": outcome}
        if report is not None:
            about |= {"reelgate.reuse": report.reuse, "reelgate.resumed_steps": report.resumed_steps}
            about |= {f"reelgate.device_ms.{stage}": spent for stage, spent in report.device_ms.items()}
        self._whole.set_attributes(about)
        if report is not None and report.failure is not None:
            telemetry.failed(self._whole, report.failure.cause)
        self._whole.end()
