"""Is a tenant's use unlike its own? Three signals, each against what is usual for this very tenant:

- ``tokens_per_prompt``: its last prompts are longer than usual;
- ``repetition``: screening finds more in its last prompts than usual (repetition, stuffing, gibberish);
- ``spend_velocity``: it reserves faster than is usual at this hour (pace.py).

A tenant that is new is not flagged. A signal stays until use is well below what raised it, ten minutes at least. Everything is in this
process and bounded; each replica knows the traffic it sees, and at its start what the books say of the last days (`Abnormal.learn`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import log, sqrt
from threading import RLock
from typing import Final

from .core import Amount
from .pace import Pace

SIGNALS: Final = ("tokens_per_prompt", "repetition", "spend_velocity")
MOST: Final = 4096
"""Tenants that are remembered, those seen last."""
WARM_PROMPTS: Final = 50
RECENT: Final = 0.1
"""Weight of the newest prompt in the recent mean, which is one of (2 - w) / w = 19 prompts."""
USUAL: Final = 0.002
"""Weight of the newest prompt in what is usual, once as many are known: it is one of about a thousand."""
SIGMAS: Final = 5.0
LONGER: Final = log(1.75)
"""Recent prompts must be longer by this factor (of geometric means) besides."""
SUSPECT: Final = 0.25
"""Screening's score must be above the usual by this much besides: from there on it flags a single prompt."""
LEAVE: Final = 0.7
"""A signal ends below this share of what raises it."""
STAY_MS: Final = 600_000
Raised = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hour:
    """What the books say of a tenant's hour."""

    tenant: str
    hour_ms: int
    tokens: int
    device_ms: int
    requests: int


@dataclass(kw_only=True, slots=True)
class Level:
    """A figure of prompts: its recent mean, and its usual mean and variance (exponentially weighted). A value far off counts as one
    of three standard deviations, so that neither a single prompt nor a flood changes at once what is usual."""

    count: int = 0
    recent: float = 0.0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, floor: float) -> None:
        """``floor``: a standard deviation that is never undercut."""
        self.count += 1
        if self.count > WARM_PROMPTS:
            usual, reach = value, 3 * sqrt(max(self.variance, floor * floor))
            if abs(value - self.mean) > reach:
                usual = self.mean + reach if value > self.mean else self.mean - reach
        else:
            usual = value
        weight = USUAL if self.count >= 1 / USUAL else 1 / self.count
        off = usual - self.mean
        self.mean += weight * off
        self.variance += weight * (off * (usual - self.mean) - self.variance)
        if self.count <= WARM_PROMPTS:
            self.recent = self.mean
        else:
            self.recent += RECENT * (value - self.recent)
            if self.recent < 1e-9:
                self.recent = 0.0

    def above(self) -> float:
        """The recent mean less the usual one."""
        return self.recent - self.mean

    def excess(self, least: float, floor: float) -> float:
        """How far the recent mean is above the usual one, over what is still ordinary; 0 while it is warming up."""
        if self.count <= WARM_PROMPTS:
            return 0.0
        deviation = sqrt(max(self.variance, floor * floor) * RECENT / (2 - RECENT))
        return self.above() / max(least, SIGMAS * deviation)


@dataclass(kw_only=True, slots=True)
class Habit:
    """All that is remembered of a tenant. ``since``: signals that are raised, and when they last were."""

    tokens: Level = field(default_factory=Level)
    score: Level = field(default_factory=Level)
    paces: dict[str, Pace] = field(default_factory=lambda: {"tokens": Pace(), "device_ms": Pace()})
    since: dict[str, int] = field(default_factory=dict)


class Abnormal:
    """Times are Unix milliseconds. ``raised`` is told of each signal that comes up. Safe from any thread."""

    def __init__(self, raised: Raised | None = None) -> None:
        self._habits: OrderedDict[str, Habit] = OrderedDict()
        self._raised = raised
        self._lock = RLock()

    def prompt(self, tenant: str, *, tokens: int | None, score: float, at_ms: int) -> tuple[str, ...]:
        """A prompt of ``tokens`` as it came (None: it was refused uncounted), which screening gave ``score``; the signals with it."""
        with self._lock:
            habit = self._habit(tenant)
            if tokens is not None:
                habit.tokens.add(log(tokens + 1), 0.1)
            if score or habit.score.recent:
                habit.score.add(score, 0.02)
            else:  # as ever; what is usual need not fall further
                habit.score.count += 1
            if not habit.since and habit.tokens.above() < LONGER and habit.score.above() < SUSPECT:
                return ()  # by far the most
            self._set(tenant, habit, "tokens_per_prompt", habit.tokens.excess(LONGER, 0.1), at_ms)
            self._set(tenant, habit, "repetition", habit.score.excess(SUSPECT, 0.02), at_ms)
            return self.judge(tenant, at_ms)

    def spent(self, tenant: str, amount: Amount, at_ms: int) -> None:
        """A reservation was made."""
        with self._lock:
            habit = self._habit(tenant)
            habit.paces["tokens"].spent(amount.tokens, at_ms)
            if amount.device_ms:
                habit.paces["device_ms"].spent(amount.device_ms, at_ms)
            self._pace(tenant, habit, at_ms)

    def judge(self, tenant: str, at_ms: int) -> tuple[str, ...]:
        """The signals that are raised now."""
        with self._lock:
            habit = self._habits.get(tenant)
            if habit is None:
                return ()
            if habit.since:
                self._pace(tenant, habit, at_ms)
                for signal in ("tokens_per_prompt", "repetition"):
                    # Nothing was sent for so long: the next prompts say how it is now.
                    if at_ms - habit.since.get(signal, at_ms) > 6 * STAY_MS:
                        del habit.since[signal]
            return tuple(signal for signal in SIGNALS if signal in habit.since) if habit.since else ()

    def learn(self, hours: Iterable[Hour]) -> None:
        """What the books say of the last days, as if it had been seen; before anything is."""
        with self._lock:
            for hour in sorted(hours, key=lambda each: each.hour_ms):
                paces = self._habit(hour.tenant).paces
                paces["tokens"].learn(hour.hour_ms, hour.tokens, hour.requests)
                paces["device_ms"].learn(hour.hour_ms, hour.device_ms, hour.requests)

    def flagged(self, at_ms: int) -> Mapping[str, tuple[str, ...]]:
        """Tenants with signals now."""
        with self._lock:
            found = {tenant: self.judge(tenant, at_ms) for tenant, habit in list(self._habits.items()) if habit.since}
            return {tenant: signals for tenant, signals in found.items() if signals}

    def velocity(self, tenant: str, at_ms: int) -> float:
        """The last five minutes' reservations over the usual ones, of the currency where it is more; 0 while too little is known."""
        with self._lock:
            habit = self._habits.get(tenant)
            return max(pace.ratio(at_ms) for pace in habit.paces.values()) if habit is not None else 0.0

    def _pace(self, tenant: str, habit: Habit, at_ms: int) -> None:
        excess = max(pace.excess(at_ms) for pace in habit.paces.values())
        self._set(tenant, habit, "spend_velocity", excess, at_ms)

    def _set(self, tenant: str, habit: Habit, signal: str, excess: float, at_ms: int) -> None:
        if excess >= 1:
            if signal not in habit.since and self._raised is not None:
                self._raised(tenant, signal)
            habit.since[signal] = at_ms
        elif excess < LEAVE and signal in habit.since and at_ms - habit.since[signal] >= STAY_MS:
            del habit.since[signal]

    def _habit(self, tenant: str) -> Habit:
        habit = self._habits.get(tenant)
        if habit is None:
            habit = self._habits[tenant] = Habit()
            if len(self._habits) > MOST:
                self._habits.popitem(last=False)
        else:
            self._habits.move_to_end(tenant)
        return habit
