"""How long one step of a stage takes, learnt from the steps that were made. No torch.

A step's time is a line over its work: seconds = overhead + work / rate. Of every size that was seen the median time is kept;
the line is Theil and Sen's (the median of the slopes between all pairs), so that a step beside a garbage collection or another
process bends nothing. It is drawn through the sizes nearest to the one that is asked for: small steps wait for memory and calls, large
ones for arithmetic, and no one line is both.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import combinations
from statistics import median

Point = tuple[float, float]


class Timing:
    """Steps of one kind of one tier on one device."""

    SIZES = 64
    # The last ones only: what a device takes changes with what runs beside it.
    KEPT = 15
    NEAR = 8

    def __init__(self) -> None:
        self._seen: OrderedDict[float, deque[float]] = OrderedDict()

    def observe(self, work: float, seconds: float) -> None:
        """A step of ``work`` took ``seconds``. The size that was not seen for longest makes room."""
        times = self._seen.setdefault(work, deque(maxlen=self.KEPT))
        times.append(seconds)
        self._seen.move_to_end(work)
        if len(self._seen) > self.SIZES:
            self._seen.popitem(last=False)

    def predict(self, work: float) -> float | None:
        """Seconds; None before anything was seen. A size that was seen takes what it took."""
        if not self._seen:
            return None
        if len(times := self._seen.get(work, ())) >= 3:
            return median(times)
        overhead, slope = _fit(self._near(work))
        return overhead + slope * work

    @property
    def rate(self) -> float:
        """Work a second at the margin, around the size that was seen last; 0 before anything was seen."""
        if not self._seen:
            return 0.0
        _, slope = _fit(self._near(next(reversed(self._seen))))
        return 1.0 / slope if slope > 0 else 0.0

    def _near(self, work: float) -> list[Point]:
        """By ratio, not by difference: 1 is as far from 2 as 2 from 4."""
        near = sorted(self._seen, key=lambda seen: abs(math.log((seen + 1.0) / (work + 1.0))))[: self.NEAR]
        return [(seen, median(self._seen[seen])) for seen in near]


def _fit(points: Sequence[Point]) -> tuple[float, float]:
    """Overhead and slope."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2)]
    slope = max(0.0, median(slopes)) if slopes else 0.0
    overhead = max(0.0, median(seconds - slope * work for work, seconds in points))
    if slope > 0:
        return overhead, slope
    # One size, or no slope to see: all of the time is in the work, so that a larger one is not promised for nothing.
    return 0.0, median(seconds / work if work else 0.0 for work, seconds in points)
