"""Figures for Prometheus: what is counted where it happens. Labels are bound once, so that counting costs next to nothing.

What its owner keeps anyway is not counted twice: `figures.py` reads it when somebody asks.
"""

from __future__ import annotations

from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from generator_service.core import Expert, Report, Stage

PREFIX: Final = "reelgate_generator_"
STEP_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
WAIT_SECONDS: Final = (0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
Figure = TypeVar("Figure", Counter, Histogram)


class Metrics:
    """Safe from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._waits = Histogram(
            f"{PREFIX}queue_wait_seconds",
            "From when a run was put in line here to its first step.",
            ["tier"],
            buckets=WAIT_SECONDS,
            registry=self.registry,
        )
        self._steps = Histogram(
            f"{PREFIX}step_seconds",
            "Device time of one step (of the whole encoding in stage encode), as reports count it.",
            ["tier", "stage", "expert"],
            buckets=STEP_SECONDS,
            registry=self.registry,
        )
        self._videos = self._counter(
            "videos", "Runs that ended, and requests for stored videos.", "tier", "outcome", "reuse"
        )
        self._refused = self._counter("refused", "Requests that were not admitted, by cause.", "cause")
        self._resumes = self._counter("resumes", "Ended runs that had gone on from a snapshot of their own.", "tier")
        self._lost = self._counter("steps_lost", "Denoise steps that were made again after a crash.", "tier")
        self.taken_over = self._counter("taken_over", "Runs taken over, from generators that died among them.")
        self._bound: dict[tuple[str, ...], Counter | Histogram] = {}

    def began(self, tier: str, waited: float) -> None:
        """A run made its first step here after ``waited`` seconds in line."""
        self._of(self._waits, tier).observe(waited)

    def step(self, tier: str, stage: Stage, expert: Expert | None, seconds: float) -> None:
        """A step took ``seconds`` of device time; ``expert`` is None but in `Stage.DENOISE`."""
        self._of(self._steps, tier, stage, expert or "").observe(seconds)

    def ended(self, tier: str, report: Report) -> None:
        """A run is over, or a stored video was asked for again."""
        self._of(self._videos, tier, report.outcome, report.reuse).inc()
        self._of(self._resumes, tier).inc(report.resumed_steps > 0)
        self._of(self._lost, tier).inc(report.lost_steps)

    def refused(self, error: Exception) -> None:
        """A request was not admitted; the cause is its error's class without "Error"."""
        self._of(self._refused, type(error).__name__.removesuffix("Error")).inc()

    def _of(self, figure: Figure, *labels: str) -> Figure:
        key = (figure._name, *labels)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = figure.labels(*labels)
        return bound  # type: ignore[return-value]  # a key has the name of its figure

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", help_, labels, registry=self.registry)
