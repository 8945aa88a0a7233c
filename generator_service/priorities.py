"""Higher priorities first, and a floor under the lower ones, so that a flood of drafts starves nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection


class Priorities:
    """For every second that a higher priority uses, a lower one that has work gets ``floor`` seconds; 0 is strict.

    What a priority is owed is paid in whole steps, once it covers one: a short draft is not interrupted to pay for a long
    step.
    """

    def __init__(self, floor: float) -> None:
        if not 0.0 <= floor < 0.5:
            raise ValueError("the floor is a share, at least 0 and less than a half")
        self._floor = floor
        self._owed: defaultdict[int, float] = defaultdict(float)
        self._step: defaultdict[int, float] = defaultdict(float)

    def pick(self, ready: Collection[int]) -> int:
        """The priority that steps next, out of those that have work."""
        top = max(ready)
        owed = [level for level in ready if level != top and self._owed[level] >= self._step[level] > 0.0]
        return max(owed, default=top)

    def charge(self, priority: int, seconds: float, ready: Collection[int], *, turn: float = 0.0) -> None:
        """A step of ``priority`` took ``seconds`` while ``ready`` had work: those below it are owed their floor. It may be a part
        of a ``turn`` that several shared."""
        self._step[priority] = max(turn, seconds)
        for level in ready:
            if level < priority:
                # A class that never stepped is taken to need as long as the step that it waits for.
                self._step[level] = self._step[level] or seconds
                self._owed[level] += self._floor * seconds
        self._owed[priority] = max(0.0, self._owed[priority] - seconds)
        for level in set(self._owed) - set(ready):
            del self._owed[level]
