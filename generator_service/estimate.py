"""Predicts a request's device time from its shape and the rates that the engine itself was measured at.

Stage by stage the work (`flops.py`) goes through the lines that `Timing` learnt for this tier on this device, one for each kind of
step: in the first step of an expert the text's keys and values are made, and without guidance there is one pass and not two. What
whole runs took, against what was predicted for them, gives the quantiles. Nothing is kept over a restart.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import defaultdict, deque
from statistics import median

from generator_service import flops
from generator_service.core import Stage
from generator_service.flops import Kind
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
    """Ratios of measured to predicted times of the last runs of one tier, of which those of the likest size count: what is beside
    the line in a run of a tenth of a second says little of one of an hour."""

    KEPT = 512
    NEAR = 96

    def __init__(self) -> None:
        self._runs: deque[tuple[float, float]] = deque(maxlen=self.KEPT)

    def observe(self, predicted: float, measured: float) -> None:
        if predicted > 0 and measured > 0:
            self._runs.appendleft((math.log(predicted), measured / predicted))

    def quantiles(self, predicted: float) -> tuple[float, float]:
        """Median and 95th percentile of measured over predicted, for a run of which ``predicted`` seconds are expected.

        The rank is that of split conformal prediction (Vovk et al.), ceil(0.95 (n + 1)): of n ratios it covers the next one
        as often as is said, where the plain percentile of a few covers too seldom.
        """
        if len(self._runs) < ENOUGH or predicted <= 0:
            return 1.0, UNKNOWN_P95
        size = math.log(predicted)
        # Of equally like ones the newest, which come first.
        near = sorted(self._runs, key=lambda run: abs(run[0] - size))[: self.NEAR]
        ordered, count = sorted(ratio for _, ratio in near), len(near)
        return median(ordered), ordered[min(count, math.ceil(0.95 * (count + 1))) - 1]

    @property
    def error(self) -> float:
        """Median of the relative error, |measured - predicted| / predicted; 0 before the first run."""
        return median(abs(ratio - 1.0) for _, ratio in self._runs) if self._runs else 0.0


class Estimator:
    """Every tier on one device. The stepping thread and the encoder's observe, the event loop asks: all under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timings: defaultdict[tuple[str, Stage], dict[tuple[bool, int], Timing]] = defaultdict(dict)
        self._spreads: defaultdict[str, Spread] = defaultdict(Spread)

    def step(self, tier: str, stage: Stage, kind: Kind, seconds: float) -> None:
        """One step of ``kind`` was made."""
        with self._lock:
            self._timings[tier, stage].setdefault((kind.first, kind.passes), Timing()).observe(kind.work, seconds)

    def run(self, tier: str, predicted: float, measured: float) -> None:
        """A run that made every stage is over; ``predicted`` is what `seconds` said when it came."""
        with self._lock:
            self._spreads[tier].observe(predicted, measured)

    def seconds(
        self,
        tier: str,
        geometry: Geometry,
        shape: Shape,
        *,
        texts: int | None = None,
        done: frozenset[Stage] = frozenset(),
    ) -> float | None:
        """The time of all stages but those in ``done``, uncorrected; None before every one of them was seen. ``texts``: see
        `flops.stages`."""
        total = 0.0
        for stage, kinds in flops.stages(geometry, shape, texts).items():
            for kind in kinds if stage not in done else ():
                if (seconds := self.of_step(tier, stage, kind)) is None:
                    return None
                total += seconds * kind.steps
        return total

    def of_step(self, tier: str, stage: Stage, kind: Kind) -> float | None:
        """What one step of ``kind`` should take, by the likest kind that was seen; None before the stage was."""
        with self._lock:
            lines = self._timings[tier, stage]
            if not lines:
                return None
            likest = min(lines, key=lambda each: (each[1] != kind.passes, each[0] != kind.first))
            return lines[likest].predict(kind.work)

    def estimate(
        self,
        tier: str,
        geometry: Geometry,
        shape: Shape,
        *,
        texts: int | None = None,
        done: frozenset[Stage] = frozenset(),
    ) -> Estimate | None:
        """With the quantiles of earlier runs; None before every stage was seen. Stages in ``done`` take nothing."""
        predicted = self.seconds(tier, geometry, shape, texts=texts, done=done)
        if predicted is None:
            return None
        with self._lock:
            p50, p95 = self._spreads[tier].quantiles(predicted)
        return Estimate(p50=predicted * p50, p95=predicted * max(p50, p95))

    def error(self, tier: str) -> float:
        """A figure for the metrics: see `Spread.error`."""
        with self._lock:
            return self._spreads[tier].error

    def rate(self, tier: str, stage: Stage) -> float:
        """Operations a second (pixels in `Stage.ENCODE`) of steps that are no first ones, for the metrics."""
        with self._lock:
            lines = self._timings[tier, stage]
            return lines[min(lines, key=lambda each: (each[0], -each[1]))].rate if lines else 0.0
