"""UTC calendar windows, in Unix milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .core import Window

MINUTE_MS = 60_000
DAY_MS = 86_400_000


def start(window: Window, at_ms: int) -> int:
    """When the window in which ``at_ms`` lies began. Raises ``ValueError`` for ``REQUEST``, which is no time."""
    if window is Window.MINUTE:
        return at_ms - at_ms % MINUTE_MS
    if window is Window.DAY:
        return at_ms - at_ms % DAY_MS
    if window is Window.MONTH:
        return _month_of(at_ms // DAY_MS)
    raise ValueError("a request is no window of time")


def end(window: Window, at_ms: int) -> int:
    """When the next one begins."""
    if window is Window.MONTH:
        return _ms((_month(at_ms) + timedelta(days=32)).replace(day=1))
    return start(window, at_ms) + (MINUTE_MS if window is Window.MINUTE else DAY_MS)


def before(window: Window, at_ms: int) -> int:
    """When the one before began."""
    return start(window, start(window, at_ms) - 1)


@lru_cache(maxsize=256)
def _month_of(day: int) -> int:
    """When the month of a day began; every reservation asks for it several times."""
    return _ms(_month(day * DAY_MS))


def _month(at_ms: int) -> datetime:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
