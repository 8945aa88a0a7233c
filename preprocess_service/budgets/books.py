"""What everything around a ledger shares: the ledger itself, the operator's files, prices, the clock, and who we are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import BudgetStoreUnavailableError

from .abnormal import Abnormal
from .core import Ask, Bill, Decision, Filed, Hold, Price, Settled
from .figures import BudgetFigures
from .ledger import Ledger
from .refusing import reason_of

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
    time where nothing was measured yet; None: then a tenant with a limit of device time is refused."""

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

    async def reserve(self, ask: Ask) -> Decision:
        """Ask the ledger, and count what it says. Raises as `Ledger.reserve`."""
        try:
            decision = await self.ledger.reserve(ask, await self.filed(ask.tenant))
        except BudgetStoreUnavailableError as error:
            self.figures.unavailable()
            self.figures.refused(ask.tenant, error.reason)
            raise
        self.figures.decided(ask.tenant, decision)
        if decision.hold is None:
            self.figures.refused(ask.tenant, reason_of(decision.refusals[0]))
        if decision.fresh:
            self.abnormal.spent(ask.tenant, ask.amount, ask.at_ms)
        return decision

    async def settle(self, hold: Hold, bill: Bill, ended_ms: int = 0) -> Settled | None:
        """End a hold at the price of now. ``ended_ms``: when its run did. Raises ``BudgetStoreUnavailableError``."""
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
