"""Predicts a request's device time from its shape and the rates that the engine itself was measured at.

Stage by stage the work (`flops.py`) goes through the line that `Timing` learnt for this tier on this device. What whole runs
took, against what was predicted for them, gives the quantiles. Nothing is kept over a restart.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import defaultdict, deque
from statistics import median

from generator_service import flops
from generator_service.core import Stage
from generator_service.geometry import Geometry, Shape
from generator_service.timing import Timing

# Before there are enough runs to know better: half as much again, or twice in the worst of twenty.
UNKNOWN_P95 = 2.0
ENOUGH = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of device time: median and 95th percentile."""

    p50: float
    p95: float


class Spread:
    """Ratios of measured to predicted times of the last runs of one tier."""

    KEPT = 128

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=self.KEPT)

    def observe(self, predicted: float, measured: float) -> None:
        if predicted > 0 and measured > 0:
            self._ratios.append(measured / predicted)

    @property
    def quantiles(self) -> tuple[float, float]:
        """Median and 95th percentile of measured over predicted.

        The rank is that of split conformal prediction (Vovk et al.), ceil(0.95 (n + 1)): of n ratios it covers the next one
        as often as is said, where the plain percentile of a few covers too seldom.
        """
        count = len(self._ratios)
        if count < ENOUGH:
            return 1.0, UNKNOWN_P95
        ordered = sorted(self._ratios)
        return median(ordered), ordered[min(count, math.ceil(0.95 * (count + 1))) - 1]

    @property
    def error(self) -> float:
        """Median of the relative error, |measured - predicted| / predicted; 0 before the first run."""
        return median(abs(ratio - 1.0) for ratio in self._ratios) if self._ratios else 0.0


class Estimator:
    """Every tier on one device. The stepping thread and the encoder's observe, the event loop asks: all under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timings: defaultdict[tuple[str, Stage], Timing] = defaultdict(Timing)
        self._spreads: defaultdict[str, Spread] = defaultdict(Spread)

    def step(self, tier: str, stage: Stage, work: float, seconds: float) -> None:
        """A step of ``stage`` was made."""
        with self._lock:
            self._timings[tier, stage].observe(work, seconds)

    def run(self, tier: str, predicted: float, measured: float) -> None:
        """A run that made every stage is over; ``predicted`` is what `seconds` said when it came."""
        with self._lock:
            self._spreads[tier].observe(predicted, measured)

    def seconds(
        self, tier: str, geometry: Geometry, shape: Shape, *, done: frozenset[Stage] = frozenset()
    ) -> float | None:
        """The time of all stages but those in ``done``, uncorrected; None before every one of them was seen."""
        total = 0.0
        with self._lock:
            for stage, kinds in flops.stages(geometry, shape).items():
                for work, count in kinds if stage not in done else ():
                    if (seconds := self._timings[tier, stage].predict(work)) is None:
                        return None
                    total += seconds * count
        return total

    def of_step(self, tier: str, stage: Stage, work: float) -> float | None:
        """What one step of ``work`` should take; None before the stage was seen."""
        with self._lock:
            return self._timings[tier, stage].predict(work)

    def estimate(
        self, tier: str, geometry: Geometry, shape: Shape, *, done: frozenset[Stage] = frozenset()
    ) -> Estimate | None:
        """With the quantiles of earlier whole runs; None before every stage was seen."""
        predicted = self.seconds(tier, geometry, shape, done=done)
        if predicted is None:
            return None
        with self._lock:
            p50, p95 = self._spreads[tier].quantiles
        return Estimate(p50=predicted * p50, p95=predicted * max(p50, p95))

    def error(self, tier: str) -> float:
        """A figure for the metrics: see `Spread.error`."""
        with self._lock:
            return self._spreads[tier].error

    def rate(self, tier: str, stage: Stage) -> float:
        """Operations a second (pixels in `Stage.ENCODE`), for the metrics."""
        with self._lock:
            return self._timings[tier, stage].rate
