"""How long one step of a stage takes, learnt from the steps that were made. No torch.

A step's time is a line over its work: seconds = overhead + work / rate. Of every size that was seen the median time is kept;
the line is Theil and Sen's (the median of the slopes between all pairs), so that a step beside a garbage collection or another
process bends nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import combinations
from statistics import median


class Timing:
    """One stage of one tier on one device."""

    SIZES = 16
    KEPT = 31

    def __init__(self) -> None:
        self._seen: OrderedDict[float, deque[float]] = OrderedDict()
        self._medians: dict[float, float] = {}
        self._line: tuple[float, float] | None = None

    def observe(self, work: float, seconds: float) -> None:
        """A step of ``work`` took ``seconds``. The size that was not seen for longest makes room."""
        times = self._seen.setdefault(work, deque(maxlen=self.KEPT))
        times.append(seconds)
        self._seen.move_to_end(work)
        if len(self._seen) > self.SIZES:
            self._medians.pop(self._seen.popitem(last=False)[0], None)
        self._medians.pop(work, None)
        self._line = None

    def predict(self, work: float) -> float | None:
        """Seconds; None before anything was seen. A size that was seen takes what it took."""
        if not self._seen:
            return None
        if len(times := self._seen.get(work, ())) >= 3:
            if work not in self._medians:
                self._medians[work] = median(times)
            return self._medians[work]
        if self._line is None:
            self._line = self._fit()
        overhead, slope = self._line
        return overhead + slope * work

    @property
    def rate(self) -> float:
        """Work a second at the margin; 0 before anything was seen."""
        if not self._seen:
            return 0.0
        self._line = self._line or self._fit()
        return 1.0 / self._line[1] if self._line[1] > 0 else 0.0

    def _fit(self) -> tuple[float, float]:
        points = [(work, median(times)) for work, times in self._seen.items()]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2)]
        slope = max(0.0, median(slopes)) if slopes else 0.0
        overhead = max(0.0, median(seconds - slope * work for work, seconds in points))
        if slope > 0:
            return overhead, slope
        # One size, or no slope to see: all of the time is in the work, so that a larger one is not promised for nothing.
        return 0.0, median(seconds / work if work else 0.0 for work, seconds in points)
