"""Stops sending requests to a tier that fails again and again (Nygard, Release It!). Pure logic; the clock is the caller's.

Closed: all pass. After ``failures`` in a row it opens: none pass for ``seconds``, twice as long after each failed probe. Then
it is half open: one request passes as a probe, and its end decides.
"""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerOpenError(Exception):
    """``retry_after`` seconds from now a request may pass again."""

    def __init__(self, tier: str, retry_after: float) -> None:
        super().__init__(f"the tier {tier} failed repeatedly and rests")
        self.tier = tier
        self.retry_after = retry_after


class Breaker:
    """Of one tier. Not locked: the caller's thread is one."""

    def __init__(self, tier: str, *, failures: int = 3, seconds: float = 30.0, longest: float = 600.0) -> None:
        if failures < 1 or not 0.0 < seconds <= longest:
            raise ValueError("a breaker opens after at least one failure, for some time")
        self._tier = tier
        self._failures = failures
        self._first = seconds
        self._longest = longest
        self._seconds = seconds
        self._row = 0
        self._opened: float | None = None
        self._probe: str | None = None

    def state(self, now: float) -> State:
        opened = self._opened  # read once: figures are asked for from another thread
        if opened is None:
            return State.CLOSED
        return State.OPEN if now < opened + self._seconds else State.HALF_OPEN

    def admit(self, name: str, now: float) -> None:
        """The run ``name`` may begin; while half open it is the probe. Raises `BreakerOpenError`."""
        state = self.state(now)
        if state is State.CLOSED:
            return
        if state is State.OPEN or self._probe is not None:
            left = self._opened + self._seconds - now if self._opened is not None else 0.0
            # A probe is under way: nobody knows for how long, so come back soon.
            raise BreakerOpenError(self._tier, max(1.0, left))
        self._probe = name

    def succeeded(self) -> None:
        """A run made its video, the probe or one that was let in before: the tier works."""
        self._row, self._opened, self._probe, self._seconds = 0, None, None, self._first

    def failed(self, name: str, now: float) -> None:
        """The run ``name`` failed, and not by its client's or the store's fault."""
        if self._opened is not None:
            if name == self._probe:
                self._seconds = min(self._longest, 2 * self._seconds)
                self._opened, self._probe = now, None
            return
        self._row += 1
        if self._row >= self._failures:
            self._opened, self._probe = now, None

    def left(self, name: str) -> None:
        """The run ``name`` ended in a way that says nothing of the tier: the next one is the probe."""
        if name == self._probe:
            self._probe = None
