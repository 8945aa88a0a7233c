"""What is in the windows around a moment, by which every ledger decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from . import calendar
from .core import COUNTED, Totals, Window

ByWindow = Mapping[Window, Totals]


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """``now``: the windows in which a moment lies; ``before`` and ``after``: those next to them. One that is not there is empty."""

    now: ByWindow
    before: ByWindow
    after: ByWindow

    @classmethod
    def around(cls, at_ms: int, totals: Callable[[Window, int], Totals]) -> Self:
        """``totals`` tells what is in a window that began at a moment."""

        def those(moment: Callable[[Window, int], int]) -> ByWindow:
            return {window: totals(window, moment(window, at_ms)) for window in COUNTED}

        return cls(now=those(calendar.start), before=those(calendar.before), after=those(calendar.end))


EMPTY = Windows(now={}, before={}, after={})
