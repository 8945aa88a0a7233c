"""Whatever is asked in whatever order, no window has more than its limit: counted from the answers alone, by nothing of the ledger's."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service.budgets.core import Budget, Hold, Limit, Window
from preprocess_service.budgets.memory import MemoryLedger

from .values import FILED, PRICE, ask, bill

LIMIT = 100
START = datetime(2025, 11, 30, 23, 59, 30, tzinfo=UTC)
"""Minute, day and month change soon."""
NEXT = {Window.MINUTE: timedelta(minutes=1), Window.DAY: timedelta(days=1), Window.MONTH: timedelta(days=31)}
STEPS = st.tuples(
    st.sampled_from(["reserve", "reserve", "extend", "settle", "cancel", "lease", "move", "give_back"]),
    st.integers(0, 3),
    st.sampled_from([30, 60, 100, 140]),
    st.sampled_from(["now", "now", "soon", "next"]),
)


class Counted:
    """What each hold has, as the ledger answered, in the window in which it began."""

    def __init__(self, ledger: MemoryLedger, window: Window) -> None:
        self.ledger, self.window = ledger, window
        self.now = START
        self.has: dict[str, tuple[datetime, int]] = {}

    @property
    def at_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    async def step(self, what: str, n: int, tokens: int) -> None:
        ledger, at, piece = self.ledger, self.at_ms, f"slice{n % 2}"
        made = ask(f"n{n}", tokens=tokens, device_ms=0, at_ms=at)
        if what == "reserve":
            self._held((await ledger.reserve(made, FILED)).hold)
        elif what == "extend":
            self._held(await ledger.extend(made.name, "r", made.amount, FILED, at))
        elif what == "lease":
            leased = ask(piece, tokens=tokens, device_ms=0, at_ms=at)
            self._held(await ledger.lease(leased, FILED, owner="x", for_ms=1))
        elif what == "move":
            done = await ledger.move((piece, "r"), made, FILED, owner="x", until_ms=at, at_ms=at)
            self._held(done.hold)
            self._held(await ledger.find(piece, "r"))
        elif what == "give_back":
            if (hold := await ledger.give_back(piece, "r", at_ms=at)) is not None and hold.state == "released":
                self.has.pop(piece, None)
        elif ended := await ledger.settle(made.name, "r", bill(tokens=tokens * (what == "settle")), PRICE, FILED, at):
            began = datetime.fromtimestamp(ended.hold.at_ms / 1000, UTC)
            self.has[made.name] = began, ended.charged.tokens

    def _held(self, hold: Hold | None) -> None:
        if hold is not None and hold.state in ("open", "slice"):
            self.has[hold.name] = datetime.fromtimestamp(hold.at_ms / 1000, UTC), hold.amount.tokens

    def windows(self) -> Counter[datetime]:
        totals: Counter[datetime] = Counter()
        for began, tokens in self.has.values():
            totals[self.begins(began)] += tokens
        return totals

    def begins(self, at: datetime) -> datetime:
        at = at.replace(second=0, microsecond=0)
        if self.window is not Window.MINUTE:
            at = at.replace(hour=0, minute=0)
        return at.replace(day=1) if self.window is Window.MONTH else at

    def before(self, start: datetime) -> datetime:
        return self.begins(start - timedelta(seconds=1))


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(list(NEXT)), st.booleans(), st.lists(STEPS, min_size=4, max_size=40))
def test_no_window_has_more_than_its_limit_and_what_was_left_over(
    window: Window, carry: bool, steps: list[tuple[str, int, int, str]]
) -> None:
    async def play() -> None:
        ledger = MemoryLedger()
        limit = Limit(window=window, tokens=LIMIT, carry_over=carry)
        await ledger.set_budget("a", Budget(limits=(limit,)), by="t", at_ms=0)
        counted = Counted(ledger, window)
        for what, n, tokens, later in steps:
            counted.now += {"now": timedelta(0), "soon": timedelta(seconds=20), "next": NEXT[window]}[later]
            await counted.step(what, n, tokens)
            totals = counted.windows()
            for start, total in totals.items():
                left_over = max(0, LIMIT - totals[counted.before(start)]) if carry else 0
                assert total <= LIMIT + left_over, (start, dict(totals))

    asyncio.run(play())


def test_the_ledger_can_fill_its_windows() -> None:
    """The test above would pass where nothing is ever granted."""

    async def play() -> Counter[datetime]:
        ledger = MemoryLedger()
        limit = Limit(window=Window.DAY, tokens=LIMIT, carry_over=True)
        await ledger.set_budget("a", Budget(limits=(limit,)), by="t", at_ms=0)
        counted = Counted(ledger, Window.DAY)
        await counted.step("reserve", 0, 60)
        counted.now += timedelta(days=1)
        await counted.step("reserve", 1, 140)
        return counted.windows()

    assert sorted(asyncio.run(play()).values()) == [60, 140]
