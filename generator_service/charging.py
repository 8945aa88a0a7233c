"""Whom a step's time is put down to."""

from __future__ import annotations

import threading

from generator_service.core import Progress, Stage
from generator_service.governor import Governor
from generator_service.metrics import Metrics
from generator_service.run import Run
from generator_service.scheduler import Scheduler


class Charging:
    """Belongs to the stepping thread; ``changed`` guards ``scheduler``."""

    def __init__(
        self, scheduler: Scheduler[Run], changed: threading.Condition, governor: Governor, metrics: Metrics
    ) -> None:
        self._scheduler, self._changed = scheduler, changed
        self._governor, self._metrics = governor, metrics

    def charge(self, run: Run, made: Progress, own: int, turn: int, since: int) -> None:
        """What a step took goes to the run's tally and trace, to the figures and to its tenant's share: ``own`` of the ``turn``'s
        nanoseconds. ``since``: Unix time in nanoseconds."""
        done_by = self._governor.made_by(run.request, made) if made.stage is Stage.DENOISE and made.step else None
        run.tally.device_ns[made.stage] += own
        if done_by is not None:
            run.tally.expert_ns[done_by] += own
        if run.trace is not None:
            run.trace.step(made, done_by, since, own)
        self._metrics.step(run.request.take.tier, made.stage, done_by, own / 1e9)
        expert, company = self._governor.expert(run.request, made), self._governor.company(run.request, made)
        with self._changed:
            self._scheduler.charge(run, own / 1e9, expert=expert, company=company, turn=turn / 1e9)
