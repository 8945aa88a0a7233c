"""What a replica may spend while the ledger is down: slices that it leased before, one a tenant. Off by default.

A slice is a hold in the ledger, so nobody else spends it. What is granted out of it is kept here and in the journal, and becomes a hold
of its own when the ledger is back. `tending.py` leases, books and gives back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from reelgate.rpc.errors import InvalidFieldError

from . import decide
from .core import (
    DEGRADED,
    NOTHING,
    Allowance,
    Amount,
    Ask,
    Bill,
    Cause,
    Decision,
    Hold,
    Refusal,
    Settled,
    State,
    Window,
)
from .figures import BudgetFigures
from .journal import Journal, Line
from .memory import hold_of
from .windows import EMPTY

log = logging.getLogger(__name__)
Key = tuple[str, str]
NEVER_RAN = frozenset({Cause.NEVER_BEGAN, Cause.REFUSED, Cause.JOINED})
STANDS = frozenset({Cause.DONE, Cause.STORED})


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceRules:
    """What the operator chose. ``amount``: of one slice. ``tenants``: that have one at the same time. A tenant that did not ask for
    anything for ``quiet_ms`` has none. The slices of a replica that is away for ``away_ms``, while the ledger answers, are given back
    by others."""

    amount: Amount
    tenants: int = 64
    quiet_ms: int = 900_000
    away_ms: int = 600_000


@dataclass(kw_only=True)
class Slice:
    """``left`` of it may still be granted. ``allowance``: of its tenant as it was last known. ``until_ms``: then it is due for a new one.
    ``spent``: something was granted out of it."""

    hold: Hold
    left: Amount
    allowance: Allowance
    until_ms: int
    spent: bool = False

    @property
    def key(self) -> Key:
        return self.hold.name, self.hold.run


@dataclass(kw_only=True)
class Grant:
    """A run that is held for here and not in the ledger yet. ``bill``: how it ended, where that is known already."""

    ask: Ask
    piece: Key
    bill: Bill | None = None
    ended_ms: int = 0
    moving: bool = False
    """It is on its way into the ledger."""

    @property
    def key(self) -> Key:
        return self.ask.name, self.ask.run

    @property
    def hold(self) -> Hold:
        """As a stream sees it. Its time is that of the grant; in the ledger it will be that of the slice."""
        return hold_of(self.ask)


@dataclass(kw_only=True)
class Slices:
    """For the event loop of the service: nothing is awaited between a look at what is left and the taking of it."""

    rules: SliceRules
    journal: Journal
    figures: BudgetFigures
    open: dict[str, Slice] = field(default_factory=dict)
    """By tenant: those that may be granted from."""
    grants: dict[Key, Grant] = field(default_factory=dict)
    seen: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """When a tenant asked last, the latest at the end."""
    refused: dict[str, int] = field(default_factory=dict)
    """Until when no slice is wanted for a tenant: there was nothing free, or it was given back to make room."""

    def __post_init__(self) -> None:
        for key, line in self.journal.left.items():
            self.grants[key] = Grant(ask=line.ask, piece=line.piece)
        self.told()

    def used(self, tenant: str, at_ms: int) -> None:
        """The tenant asks for something."""
        self.seen[tenant] = at_ms
        self.seen.move_to_end(tenant)
        if len(self.seen) > 4 * self.rules.tenants:
            self.seen.popitem(last=False)

    async def grant(self, ask: Ask) -> Decision | None:
        """The ledger is down: what stands for ``ask`` already, or a grant out of its tenant's slice; None: there is not enough.

        Raises ``InvalidFieldError`` as `Ledger.reserve` does. What a request may have, and how many may be open, is decided by the
        allowance that was known last; only this replica's own grants count as open.
        """
        found = self.pending(ask)
        if found is not None:
            return Decision(hold=found.hold, warnings=(DEGRADED,))
        piece = self.open.get(ask.tenant)
        if piece is None:
            return None
        no, soft = self._judged(ask, piece.allowance)
        if no and not piece.allowance.budget.shadow:
            return Decision(hold=None, refusals=no, warnings=(*soft, DEGRADED))
        if decide.least(ask.amount, piece.left) != ask.amount:
            return None
        if not await self._take(piece, ask):
            return None
        return Decision(hold=hold_of(ask), fresh=True, refusals=no, warnings=(*soft, DEGRADED))

    def find(self, name: str, run: str) -> Hold | None:
        """What is held here and not in the ledger yet."""
        grant = self.grants.get((name, run))
        return None if grant is None else grant.hold

    def settle(self, hold: Hold, bill: Bill, ended_ms: int) -> Settled | None:
        """Remember how a grant ended, for when the ledger is back. One of a run that never was is as if it had never been made,
        which is told; of all others None: they are not settled yet."""
        grant = self.grants[hold.name, hold.run]
        if grant.moving or bill.cause not in NEVER_RAN:
            grant.bill, grant.ended_ms = bill, ended_ms
            return None
        self._undo(grant)
        ended = replace(grant.hold, state=State.RELEASED, cause=bill.cause)
        return Settled(hold=ended, charged=NOTHING, measured=NOTHING, fresh=True)

    def booked(self, grant: Grant) -> None:
        """It is in the ledger."""
        if self.grants.pop(grant.key, None) is not None:
            self.ended(grant.key)

    def ended(self, key: Key) -> None:
        """Nothing is to be booked for it any more."""
        try:
            if self.grants:
                self.journal.ended(key)
            else:
                self.journal.empty()
        except OSError:  # it would be booked a second time, which does nothing
            log.exception("the journal of degraded grants cannot be written")
        self.told()

    def of(self, piece: Key) -> list[Grant]:
        """Grants out of one slice."""
        return [grant for grant in self.grants.values() if grant.piece == piece]

    def told(self) -> None:
        """Figures."""
        left = sum((piece.left for piece in self.open.values()), NOTHING)
        self.figures.slices(left, len(self.grants))

    async def _take(self, piece: Slice, ask: Ask) -> bool:
        """Whether it could be written down. Taken before that is waited for, so that two never take the same."""
        grant = Grant(ask=ask, piece=piece.key)
        self.grants[grant.key] = grant
        piece.left -= ask.amount
        piece.spent = True
        try:
            await asyncio.shield(asyncio.to_thread(self.journal.granted, Line(piece=piece.key, ask=ask)))
        except OSError:
            log.exception("the journal of degraded grants cannot be written")
            self._undo(grant)
            return False
        self.told()
        return True

    def _undo(self, grant: Grant) -> None:
        if self.grants.pop(grant.key, None) is None:
            return
        piece = self.open.get(grant.ask.tenant)
        if piece is not None and piece.key == grant.piece:
            piece.left += grant.ask.amount
        self.ended(grant.key)

    def pending(self, ask: Ask) -> Grant | None:
        """What stands for ``ask`` and is not in the ledger yet, by its request id or its run. The same rules as there."""
        mine = (ask.tenant, ask.request_id)
        for grant in self.grants.values() if ask.request_id else ():
            if (grant.ask.tenant, grant.ask.request_id) == mine:
                if grant.ask.name == ask.name and (grant.bill is None or grant.bill.cause in STANDS):
                    return grant
                if grant.ask.name != ask.name and grant.bill is None:
                    raise InvalidFieldError.of(
                        "request_id", "stands for another request that is under way; choose a new one"
                    )
        return self.grants.get((ask.name, ask.run))

    def _judged(self, ask: Ask, given: Allowance) -> tuple[tuple[Refusal, ...], tuple[str, ...]]:
        """By what one request may have, and how many may be open. The windows are the slice's to bind."""
        limit = given.budget.of(Window.REQUEST)
        budget = replace(given.budget, limits=() if limit is None else (limit,))
        mine = sum(grant.ask.tenant == ask.tenant and grant.bill is None for grant in self.grants.values())
        return decide.refusals(ask.amount, replace(given, budget=budget), EMPTY, open_holds=mine, at_ms=ask.at_ms)
