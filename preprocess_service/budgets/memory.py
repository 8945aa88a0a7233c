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
    HELD,
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
from .windows import Windows

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
        if hold is None or hold.state is State.SLICE:
            return None
        if hold.state is not State.OPEN:
            return replace(self.settled[key], fresh=False)
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
        until = {key: self._claims.get(key, ("", 0))[1] for key in ((h.name, h.run) for h in self._open())}
        free = [h for h in self._open() if until[h.name, h.run] <= at_ms]
        first = sorted(free, key=lambda h: (until[h.name, h.run], h.at_ms, h.name, h.run))[:most]
        mine = tuple(sorted(first, key=lambda h: (h.at_ms, h.name, h.run)))
        await self.renew(owner, [(h.name, h.run) for h in mine], at_ms=at_ms, for_ms=for_ms)
        return mine

    async def renew(self, owner: str, holds: Sequence[Key], *, at_ms: int, for_ms: int) -> None:
        for key in holds:
            if key in self.holds and self.holds[key].state in HELD:
                self._claims[key] = (owner, at_ms + for_ms)

    async def lease(self, ask: Ask, filed: Filed, *, owner: str, for_ms: int) -> Hold | None:
        key, at = (ask.name, ask.run), ask.at_ms
        if key in self.holds:
            return self.holds[key]
        allowance = self._allowance(ask.tenant, filed)
        amount = decide.slice_of(ask.amount, allowance, self._windows(ask.tenant, at), at_ms=at)
        if amount == NOTHING:
            return None
        made = self.holds[key] = replace(hold_of(ask), amount=amount, state=State.SLICE)
        self._claims[key] = (owner, at + for_ms)
        self._book(made, held=amount)
        return made

    async def move(self, piece: Key, ask: Ask, filed: Filed, *, owner: str, until_ms: int, at_ms: int) -> Decision:
        found = self._found(ask)
        if found is not None:
            self._lead(ask, (found.name, found.run))
            return Decision(hold=found)
        key, left, taken = (ask.name, ask.run), self.holds.get(piece), NOTHING
        if left is not None and left.state is State.SLICE and left.tenant == ask.tenant:
            taken = decide.least(ask.amount, left.amount)
            self.holds[piece] = replace(left, amount=left.amount - taken)
            self._book(left, held=NOTHING - taken)
            ask = replace(ask, at_ms=left.at_ms)
        made = self.holds[key] = replace(hold_of(ask), amount=taken)
        self._claims[key] = (owner, until_ms)
        self._book(made, held=taken)
        self._lead(ask, key)
        return Decision(hold=self._grow(made, ask.amount, filed, at_ms), fresh=True)

    async def give_back(self, name: str, run: str, *, at_ms: int, lapsed: bool = False) -> Hold | None:
        key = (name, run)
        hold = self.holds.get(key)
        if hold is None or hold.state is not State.SLICE or (lapsed and self._claims.get(key, ("", 0))[1] > at_ms):
            return hold
        self._book(hold, held=NOTHING - hold.amount)
        ended = self.holds[key] = replace(hold, state=State.RELEASED, cause=Cause.NEVER_BEGAN)
        self._claims.pop(key, None)
        self.settled[key] = Settled(hold=ended, charged=NOTHING, measured=NOTHING, fresh=True)
        return ended

    async def lapsed(self, *, at_ms: int, most: int) -> tuple[Hold, ...]:
        pieces = [hold for hold in self.holds.values() if hold.state is State.SLICE]
        alone = [h for h in pieces if self._claims.get((h.name, h.run), ("", 0))[1] <= at_ms]
        return tuple(sorted(alone, key=lambda h: (h.at_ms, h.name, h.run))[:most])

    async def standing(self, tenant: str, filed: Filed, at_ms: int) -> Standing:
        windows = self._windows(tenant, at_ms)
        return Standing(
            tenant=tenant,
            allowance=self._allowance(tenant, filed),
            totals=dict(windows.now),
            befores=dict(windows.before),
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
            self._windows(ask.tenant, at),
            open_holds=sum(h.tenant == ask.tenant for h in self._open()),
            at_ms=at,
        )
        if no and not allowance.budget.shadow:
            return Decision(hold=None, refusals=no, warnings=soft)
        return Decision(hold=hold_of(ask), fresh=True, refusals=no, warnings=soft)

    def _grow(self, hold: Hold, to: Amount, filed: Filed, at_ms: int) -> Hold:
        allowance = self._allowance(hold.tenant, filed)
        windows = self._windows(hold.tenant, hold.at_ms)
        more = decide.growth(hold.amount, to, allowance, windows, at_ms=at_ms, held_ms=hold.at_ms)
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

    def _windows(self, tenant: str, at_ms: int) -> Windows:
        return Windows.around(at_ms, lambda window, start_ms: self.totals.get((tenant, window, start_ms), Totals()))

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
