"""A ledger in this process: plain dictionaries, gone with it. For a trial without a database, and the oracle of the one with SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reelgate.rpc.errors import BudgetChangedError, InvalidFieldError

from . import calendar, decide
from .core import (
    ANYBODY,
    CHARGED,
    COUNTED,
    NOTHING,
    Allowance,
    Amount,
    Ask,
    Bill,
    Budget,
    Cause,
    Decision,
    Filed,
    Hold,
    Price,
    Raise,
    Settled,
    Standing,
    State,
    Totals,
    Window,
)
from .ledger import Drift

Key = tuple[str, str]
Slot = tuple[str, Window, int]
"""Tenant, window, when it began."""


class MemoryLedger:
    """See `Ledger`. Nothing here awaits, so the event loop keeps every call whole."""

    def __init__(self) -> None:
        self.holds: dict[Key, Hold] = {}
        self.settled: dict[Key, Settled] = {}
        self.totals: dict[Slot, Totals] = {}
        self._requests: dict[tuple[str, str], Key] = {}
        self._claims: dict[Key, tuple[str, int]] = {}
        self._budgets: dict[str, Budget] = {}
        self._raises: dict[str, list[Raise]] = {}
        self._versions: Counter[str] = Counter()

    async def reserve(self, ask: Ask, filed: Filed) -> Decision:
        found = self._found(ask)
        key = (ask.name, ask.run)
        if found is not None:
            self._lead(ask, (found.name, found.run))
            return Decision(hold=found)
        decision = self._decide(ask, filed)
        if decision.hold is not None:
            self.holds[key] = decision.hold
            self._lead(ask, key)
            self._book(decision.hold, held=ask.amount)
        return decision

    async def would(self, ask: Ask, filed: Filed) -> Decision:
        found = self._found(ask)
        return Decision(hold=found) if found is not None else self._decide(ask, filed)

    async def extend(self, name: str, run: str, to: Amount, filed: Filed, at_ms: int) -> Hold | None:
        hold = self.holds.get((name, run))
        return self._grow(hold, to, filed, at_ms) if hold is not None and hold.state is State.OPEN else hold

    async def settle(self, name: str, run: str, bill: Bill, price: Price, filed: Filed, at_ms: int) -> Settled | None:
        key = (name, run)
        hold = self.holds.get(key)
        if hold is None or hold.state is not State.OPEN:
            return replace(self.settled[key], fresh=False) if hold is not None else None
        hold = self._grow(hold, bill.due, filed, at_ms)
        charged = Amount(
            tokens=min(bill.due.tokens, hold.amount.tokens), device_ms=min(bill.due.device_ms, hold.amount.device_ms)
        )
        over = bill.measured - charged
        state = State.SETTLED if bill.cause in CHARGED else State.RELEASED
        self._book(hold, held=NOTHING - hold.amount, charged=charged, overrun=over)
        ended = self.holds[key] = replace(hold, state=state, cause=bill.cause)
        self._claims.pop(key, None)
        self.settled[key] = Settled(
            hold=ended, charged=charged, measured=bill.measured, overrun=over, price=price, fresh=True
        )
        return self.settled[key]

    async def find(self, name: str, run: str) -> Hold | None:
        return self.holds.get((name, run))

    async def claim(self, owner: str, *, at_ms: int, for_ms: int, most: int) -> tuple[Hold, ...]:
        free = [h for h in self._open() if self._claims.get((h.name, h.run), ("", 0))[1] <= at_ms]
        mine = tuple(sorted(free, key=lambda h: (h.at_ms, h.name, h.run))[:most])
        await self.renew(owner, [(h.name, h.run) for h in mine], at_ms=at_ms, for_ms=for_ms)
        return mine

    async def renew(self, owner: str, holds: Sequence[Key], *, at_ms: int, for_ms: int) -> None:
        for key in holds:
            if key in self.holds and self.holds[key].state is State.OPEN:
                self._claims[key] = (owner, at_ms + for_ms)

    async def standing(self, tenant: str, filed: Filed, at_ms: int) -> Standing:
        return Standing(
            tenant=tenant,
            allowance=self._allowance(tenant, filed),
            totals={w: self._in(tenant, w, calendar.start(w, at_ms)) for w in COUNTED},
            befores={w: self._in(tenant, w, calendar.before(w, at_ms)) for w in COUNTED},
            open_holds=sum(h.tenant == tenant for h in self._open()),
            at_ms=at_ms,
        )

    async def set_budget(
        self, tenant: str, budget: Budget | None, *, by: str, at_ms: int, expected: int | None = None
    ) -> int:
        if expected is not None and expected != self._versions[tenant]:
            raise BudgetChangedError.of(self._versions[tenant])
        if budget is None:
            self._budgets.pop(tenant, None)
            self._raises.pop(tenant, None)
        else:
            self._budgets[tenant] = budget
        self._versions[tenant] += 1
        return self._versions[tenant]

    async def add_raise(self, tenant: str, more: Raise, *, by: str, at_ms: int) -> int:
        self._raises.setdefault(tenant, []).append(more)
        self._versions[tenant] += 1
        return self._versions[tenant]

    async def drift(self) -> tuple[Drift, ...]:
        """Counted from the holds alone."""
        sums: dict[Slot, Totals] = {}
        for key, hold in self.holds.items():
            ended = self.settled.get(key)
            for slot in _slots(hold):
                was = sums.get(slot, Totals())
                sums[slot] = Totals(
                    held=was.held + (hold.amount if ended is None else NOTHING),
                    charged=was.charged + (ended.charged if ended else NOTHING),
                    overrun=was.overrun + (ended.overrun if ended else NOTHING),
                )
        return tuple(
            Drift(
                tenant=slot[0], window=slot[1], start_ms=slot[2], kept=str(kept), counted=str(sums.get(slot, Totals()))
            )
            for slot, kept in self.totals.items()
            if kept != sums.get(slot, Totals())
        )

    async def close(self) -> None:
        """Nothing to give back."""

    def _found(self, ask: Ask) -> Hold | None:
        led = self._requests.get((ask.tenant, ask.request_id)) if ask.request_id else None
        if led is not None:
            hold = self.holds[led]
            if hold.state is State.OPEN and hold.name != ask.name:
                raise InvalidFieldError.of(
                    "request_id", "stands for another request that is under way; choose a new one"
                )
            if hold.name == ask.name and (hold.state is State.OPEN or hold.cause in (Cause.DONE, Cause.STORED)):
                return hold
        return self.holds.get((ask.name, ask.run))

    def _lead(self, ask: Ask, key: Key) -> None:
        if ask.request_id:
            self._requests[ask.tenant, ask.request_id] = key

    def _decide(self, ask: Ask, filed: Filed) -> Decision:
        allowance = self._allowance(ask.tenant, filed)
        at = ask.at_ms
        no, soft = decide.refusals(
            ask.amount,
            allowance,
            {w: self._in(ask.tenant, w, calendar.start(w, at)) for w in COUNTED},
            {w: self._in(ask.tenant, w, calendar.before(w, at)) for w in COUNTED},
            open_holds=sum(h.tenant == ask.tenant for h in self._open()),
            at_ms=at,
        )
        if no and not allowance.budget.shadow:
            return Decision(hold=None, refusals=no, warnings=soft)
        return Decision(hold=hold_of(ask), fresh=True, refusals=no, warnings=soft)

    def _grow(self, hold: Hold, to: Amount, filed: Filed, at_ms: int) -> Hold:
        allowance = self._allowance(hold.tenant, filed)
        at = hold.at_ms
        more = decide.growth(
            hold.amount,
            to,
            allowance,
            {w: self._in(hold.tenant, w, calendar.start(w, at)) for w in COUNTED},
            {w: self._in(hold.tenant, w, calendar.before(w, at)) for w in COUNTED},
            at_ms=at_ms,
        )
        if more == NOTHING:
            return hold
        self._book(hold, held=more)
        grown = self.holds[hold.name, hold.run] = replace(hold, amount=hold.amount + more)
        return grown

    def _book(
        self, hold: Hold, *, held: Amount = NOTHING, charged: Amount = NOTHING, overrun: Amount = NOTHING
    ) -> None:
        for slot in _slots(hold):
            was = self.totals.get(slot, Totals())
            self.totals[slot] = Totals(
                held=was.held + held, charged=was.charged + charged, overrun=was.overrun + overrun
            )

    def _in(self, tenant: str, window: Window, start_ms: int) -> Totals:
        return self.totals.get((tenant, window, start_ms), Totals())

    def _open(self) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.state is State.OPEN]

    def _allowance(self, tenant: str, filed: Filed) -> Allowance:
        return decide.allowance(
            filed,
            own=self._budgets.get(tenant),
            default=self._budgets.get(ANYBODY),
            raises=tuple(self._raises.get(tenant, ())),
            version=self._versions[tenant],
        )


def hold_of(ask: Ask) -> Hold:
    """The hold that stands for an ask that is granted."""
    return Hold(
        tenant=ask.tenant,
        name=ask.name,
        run=ask.run,
        amount=ask.amount,
        at_ms=ask.at_ms,
        request_id=ask.request_id,
        tier=ask.tier,
        policy=ask.policy,
        tokens_saved=ask.tokens_saved,
        prepare_us=ask.prepare_us,
    )


def _slots(hold: Hold) -> list[Slot]:
    return [(hold.tenant, window, calendar.start(window, hold.at_ms)) for window in COUNTED]
