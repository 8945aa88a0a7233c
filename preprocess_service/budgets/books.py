"""What everything around a ledger shares: the ledger itself, the operator's files, prices, the clock, and who we are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import BudgetStoreUnavailableError, InvalidFieldError

from .abnormal import Abnormal
from .core import Ask, Bill, Decision, Filed, Hold, Price, Settled
from .figures import BudgetFigures
from .ledger import Ledger
from .refusing import reason_of
from .slices import Grant, Slices

YIELDED_MS = 60_000
"""A tenant whose slice was given back to make room gets no other for so long."""

Prices = Callable[[str, int], Price]
"""The price of a tier at a moment (Unix ms); one without a version where no price is set."""
Flags = Callable[[str, pb.Receipt, int], tuple[str, ...]]
"""Signals of abnormal use of a tenant, given the prompt that it sends now."""
Told = Callable[[Settled], None]
"""Somebody who wants to know of every hold that ended here."""


def free(tier: str, at_ms: int) -> Price:
    """No price is set."""
    return Price()


def ordinary(tenant: str, receipt: pb.Receipt, at_ms: int) -> tuple[str, ...]:
    """Nobody looks for abnormal use."""
    return ()


async def nothing_filed(tenant: str) -> Filed:
    """There is no folder of files."""
    return Filed()


def clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Books:
    """``replica``: the name under which this process looks after holds. ``grace_ms``: how long after its reservation a hold is kept
    although the generator knows no run for it: its request may still be on the way. ``unknown_device_ms``: what is held of device
    time where nothing was measured yet; None: then a tenant with a limit of device time is refused. ``slices``: what may be spent while
    the ledger is down; None: nothing."""

    ledger: Ledger
    replica: str
    filed: Callable[[str], Awaitable[Filed]] = nothing_filed
    prices: Prices = free
    flags: Flags = ordinary
    grace_ms: int = 60_000
    unknown_device_ms: int | None = None
    told: list[Told] = field(default_factory=list)
    figures: BudgetFigures = field(default_factory=BudgetFigures)
    abnormal: Abnormal = field(default_factory=Abnormal)
    now: Callable[[], int] = clock
    slices: Slices | None = None

    async def reserve(self, ask: Ask) -> Decision:
        """Ask the ledger, or, while it is down, the slice; and count what it says. Raises as `Ledger.reserve`."""
        try:
            if self.slices is not None:
                await self.catch_up(ask)
            decision = await self.ledger.reserve(ask, await self.filed(ask.tenant))
            if decision.hold is None and self.slices is not None and await self._make_room(decision, ask.tenant):
                decision = await self.ledger.reserve(ask, await self.filed(ask.tenant))
        except BudgetStoreUnavailableError as error:
            self.figures.unavailable()
            granted = None if self.slices is None else await self.slices.grant(ask)
            if granted is None:
                self.figures.refused(ask.tenant, error.reason)
                raise
            decision = granted
        self.figures.decided(ask.tenant, decision)
        if decision.hold is None:
            self.figures.refused(ask.tenant, reason_of(decision.refusals[0]))
        if decision.fresh:
            self.abnormal.spent(ask.tenant, ask.amount, ask.at_ms)
        return decision

    async def find(self, name: str, run: str) -> Hold | None:
        """In the ledger, or granted here and not in it yet. Raises ``BudgetStoreUnavailableError``."""
        return self.local(name, run) or await self.ledger.find(name, run)

    def local(self, name: str, run: str) -> Hold | None:
        """What was granted here and is not in the ledger yet."""
        return None if self.slices is None else self.slices.find(name, run)

    async def book(self, grant: Grant) -> None:
        """What was granted without the ledger becomes a hold in it, and is settled where it is known how it ended.

        Until it could have reached the generator, no reconciler looks at it. Raises ``BudgetStoreUnavailableError``.
        """
        if self.slices is None:
            return
        ask, at = grant.ask, self.now()
        filed, until = await self.filed(ask.tenant), max(at, ask.at_ms + self.grace_ms)
        grant.moving = True
        try:
            try:
                moved = await self.ledger.move(grant.piece, ask, filed, owner=self.replica, until_ms=until, at_ms=at)
            except InvalidFieldError:  # by now the id stands for another request; the run is a fact all the same
                ask = replace(ask, request_id="")
                moved = await self.ledger.move(grant.piece, ask, filed, owner=self.replica, until_ms=until, at_ms=at)
        finally:
            grant.moving = False
        self.slices.booked(grant)
        hold = moved.hold
        if grant.bill is not None and hold is not None and (hold.name, hold.run) == grant.key:
            await self.settle(hold, grant.bill, grant.ended_ms)

    async def settle(self, hold: Hold, bill: Bill, ended_ms: int = 0) -> Settled | None:
        """End a hold at the price of now. ``ended_ms``: when its run did. Raises ``BudgetStoreUnavailableError``; what was granted
        without the ledger is settled then once it is back."""
        if self.slices is not None and (grant := self.slices.grants.get((hold.name, hold.run))) is not None:
            undone = self.slices.settle(hold, bill, ended_ms)
            if undone is not None:
                return undone
            await self.book(grant)
        at = self.now()
        filed = await self.filed(hold.tenant)
        ended = await self.ledger.settle(hold.name, hold.run, bill, self.prices(hold.tier, at), filed, at)
        if ended is not None and ended.fresh:
            self.figures.settled(ended)
            if ended_ms:
                self.figures.lagged((at - ended_ms) / 1000)
            for tell in self.told:
                tell(ended)
        return ended

    async def catch_up(self, ask: Ask) -> None:
        """What stands for ``ask`` already is to be found in the ledger. Raises ``BudgetStoreUnavailableError``."""
        if self.slices is None:
            return
        self.slices.used(ask.tenant, ask.at_ms)
        if self.slices.grants and (grant := self.slices.pending(ask)) is not None:
            await self.book(grant)

    async def _make_room(self, decision: Decision, tenant: str) -> bool:
        """Give the slice back where a request is refused for want of what is in it. Whether there is hope then."""
        slices = self.slices
        piece = None if slices is None else slices.open.get(tenant)
        if slices is None or piece is None or decision.refusals[0].reset_ms is None or slices.of(piece.key):
            return False
        del slices.open[tenant]
        slices.refused[tenant] = self.now() + YIELDED_MS
        await self.ledger.give_back(*piece.key, at_ms=self.now())
        return True
