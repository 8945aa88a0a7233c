"""How fast a tenant spends, against its own usual: one currency. Pure arithmetic over given times; about two kilobytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
WINDOW: Final = 5
"""Minutes that are looked at together, the one under way among them."""
TIMES: Final = 3.0
"""More than this many times the usual may be abnormal."""
NOISE: Final = 4.0
TAIL: Final = 1.5
"""It must be above the usual five minutes by so many standard deviations besides, and by so many indices of dispersion more: a bunch
of requests is a few times as large now and then (Bernstein's bound has these two terms)."""
FEWEST: Final = 10
"""Reservations in the window below which nothing is told."""
WARM_HOURS: Final = 24
WARM_BLOCKS: Final = 12
"""Of history, and of blocks of five minutes seen by this process itself; a tenant that is newer is never flagged."""
DAY_WEIGHT: Final = 0.3
"""Of the newest day in what is usual at an hour."""


@dataclass(kw_only=True)
class Pace:
    """What was reserved, by minute and by hour of the day (UTC).

    What is usual now is the highest of the hour under way, the ones beside it, and the mean of all: a rhythm may be an hour early or
    late. How much five minutes vary is the index of dispersion (variance over mean) of what is spent, at least that of single requests
    of the tenant's sizes that come at random (compound Poisson: E[a^2] / E[a]). The variance is half of the mean square of successive
    differences (von Neumann), which a slow rhythm leaves alone.
    """

    hours: list[float] = field(default_factory=lambda: [-1.0] * 24)
    """Spent in an hour, by hour of the day; -1: not known."""
    seen_hours: int = 0
    size: float = 0.0
    square: float = 0.0
    """Of one reservation: means of the amount and of its square."""
    blocks: int = 0
    jump: float = 0.0
    level: float = 0.0
    """Of blocks of five minutes: how many, and the means of half the squared difference of neighbours and of the spending."""
    minutes: deque[tuple[int, float, int]] = field(default_factory=deque)
    """(minute, spent, reservations), those of the window."""
    hour: int = -1
    in_hour: float = 0.0
    block: int = -1
    before: float = -1.0
    in_block: float = 0.0
    since_ms: int = -1

    def spent(self, amount: int, at_ms: int) -> None:
        """A reservation."""
        self._roll(at_ms)
        minute = at_ms // MINUTE_MS
        if self.minutes and self.minutes[-1][0] == minute:
            _, total, count = self.minutes[-1]
            self.minutes[-1] = (minute, total + amount, count + 1)
        else:
            self.minutes.append((minute, float(amount), 1))
        self.in_hour += amount
        self.in_block += amount
        weight = 0.01 if self.size else 1.0
        self.size += weight * (amount - self.size)
        self.square += weight * (amount * amount - self.square)

    def learn(self, hour_ms: int, spent: float, requests: int) -> None:
        """An hour of the past, out of the books; hours in their order."""
        self._hour(hour_ms // HOUR_MS, spent)
        if requests and not self.size:
            self.size = spent / requests
            self.square = 2 * self.size**2

    def ratio(self, at_ms: int) -> float:
        """The last five minutes over the usual ones; 0 while too little is known."""
        total, _ = self._now(at_ms)
        usual = self._usual(at_ms)
        return total / usual if usual > 0 else 0.0

    def excess(self, at_ms: int) -> float:
        """The last five minutes over what is still ordinary: from 1 on they are abnormal. 0 while too little is known."""
        total, count = self._now(at_ms)
        usual = self._usual(at_ms)
        if usual <= 0 or count < FEWEST or self.blocks < WARM_BLOCKS:
            return 0.0
        spread = self._spread()
        return total / (usual + max((TIMES - 1) * usual, NOISE * sqrt(spread * usual) + TAIL * spread))

    def _spread(self) -> float:
        """Index of dispersion."""
        least = self.square / self.size if self.size else 0.0
        return max(least, self.jump / self.level if self.level else 0.0)

    def _now(self, at_ms: int) -> tuple[float, int]:
        self._roll(at_ms)
        return sum(total for _, total, _ in self.minutes), sum(count for _, _, count in self.minutes)

    def _usual(self, at_ms: int) -> float:
        """Of five minutes; 0: not known."""
        if self.seen_hours < WARM_HOURS:
            return 0.0
        known = [spent for spent in self.hours if spent >= 0]
        at = at_ms // HOUR_MS
        near = [self.hours[(at + shift) % 24] for shift in (-1, 0, 1)]
        return max(*near, sum(known) / len(known)) * WINDOW / 60

    def _roll(self, at_ms: int) -> None:
        """Close the minutes, blocks and hours that are over. An hour in which nothing happened was an hour of nothing."""
        minute = at_ms // MINUTE_MS
        while self.minutes and self.minutes[0][0] <= minute - WINDOW:
            self.minutes.popleft()
        hour, block = at_ms // HOUR_MS, minute // WINDOW
        if self.since_ms < 0:
            self.since_ms, self.hour, self.block = at_ms, hour, block
            return
        if block > self.block:
            self._block(self.in_block)
            for _ in range(min(block - self.block - 1, 288)):
                self._block(0.0)
            self.block, self.in_block = block, 0.0
        if hour > self.hour:
            if self.since_ms <= self.hour * HOUR_MS:  # the first may have begun in its middle
                self._hour(self.hour, self.in_hour)
            for empty in range(max(self.hour + 1, hour - 24), hour):
                self._hour(empty, 0.0)
            self.hour, self.in_hour = hour, 0.0

    def _hour(self, hour: int, spent: float) -> None:
        """One hour more is known. Once warm, what is far above the usual counts as a little above: a flood is not learnt at once."""
        known = [each for each in self.hours if each >= 0]
        if self.seen_hours >= WARM_HOURS:
            near = max(self.hours[(hour + shift) % 24] for shift in (-1, 0, 1))
            spent = min(spent, TIMES * max(near, sum(known) / len(known), self.size))
        old = self.hours[hour % 24]
        self.hours[hour % 24] = spent if old < 0 else old + DAY_WEIGHT * (spent - old)
        self.seen_hours += 1

    def _block(self, spent: float) -> None:
        """Five minutes more are known; one jump far above the usual ones counts as a little above."""
        if self.before >= 0:
            self.blocks += 1
            weight = max(1 / 288, 1 / self.blocks)  # a day of blocks
            jump = (spent - self.before) ** 2 / 2
            if self.blocks > WARM_BLOCKS:
                jump = min(jump, 25 * max(self.jump, self._spread() * self.level))
            self.jump += weight * (jump - self.jump)
            self.level += weight * (spent - self.level)
        self.before = spent
