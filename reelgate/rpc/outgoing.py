"""What a call made while serving another one inherits: its deadline and its request id."""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(remaining: float | None) -> None:
    """Remember when the call under way must be over, ``remaining`` seconds from now; None: never."""
    _deadline.set(None if remaining is None else time.monotonic() + remaining)


def remaining_time(own: float | None = None) -> float | None:
    """Seconds that an outgoing call may take: the shorter of ``own`` and what is left of the call under way; None: no limit."""
    deadline = _deadline.get()
    if deadline is None:
        return own
    left = max(deadline - time.monotonic(), 0.0)
    return left if own is None else min(own, left)
