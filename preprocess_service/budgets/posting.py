"""What a transaction of the ledger does to the tables: plain functions of a connection, for `sql.py` to put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Dialect, Row

from . import calendar, decide
from . import statements as sql
from .core import (
    ANYBODY,
    CHARGED,
    COUNTED,
    NOTHING,
    Allowance,
    Amount,
    Bill,
    Budget,
    Filed,
    Hold,
    Kind,
    Price,
    Raise,
    Settled,
    State,
)
from .looking import read_windows
from .ready import Sender, Step
from .rows import Params, amount_row, budget_of, entry_of, hold_row, raise_of, totals_row, usage_of

REMEMBERED = 10_000
"""Tenants whose set budgets are kept in this process; more than that, and it begins anew."""


class Books:
    """The tables of one dialect, and what was set for tenants, remembered by its version."""

    def __init__(self, dialect: Dialect, *, outbox: bool) -> None:
        self.changes, self._sender = sql.Changes(dialect), Sender(dialect)
        self._outbox = outbox
        self._set: dict[str, tuple[int, Budget | None, tuple[Raise, ...]]] = {}

    def bump(self, conn: Connection, tenant: str, *, entries: int = 1, opened: int = 0, version: int = 0) -> Row[Any]:
        """Lock the tenant's row to the end of the transaction; its new numbers, and the version of the default budget."""
        given = {"tenant": tenant, "last_seq": entries, "open_holds": opened, "budget_version": version}
        return conn.execute(self.changes.bump, given).one()

    def allowance(self, conn: Connection, tenant: str, filed: Filed, version: int, default_version: int) -> Allowance:
        own, raised = self._set_for(conn, tenant, version)
        default, _ = self._set_for(conn, ANYBODY, default_version)
        return decide.allowance(filed, own=own, default=default, raises=raised, version=version)

    def _set_for(self, conn: Connection, tenant: str, version: int) -> tuple[Budget | None, tuple[Raise, ...]]:
        if not version:
            return None, ()
        known = self._set.get(tenant)
        if known is not None and known[0] == version:
            return known[1:]
        text = conn.execute(sql.read_budget, {"tenant": tenant}).scalar_one_or_none()
        raised = tuple(raise_of(row) for row in conn.execute(sql.read_raises, {"tenant": tenant}))
        budget = budget_of(text or "")
        if len(self._set) >= REMEMBERED:
            self._set = {}
        self._set[tenant] = (version, budget, raised)
        return budget, raised

    def ending(self, ended: Settled) -> Step:
        """Writes down how a hold ended."""
        return self.changes.end, _ending(ended)

    def post(self, conn: Connection, *steps: Step) -> None:
        """Do all of ``steps``, no two of which change the same row."""
        self._sender.send(conn, steps)

    def booked(self, hold: Hold, **sums: Amount) -> list[Step]:
        """Adds to all windows of a hold's reservation."""
        row: Params = {"tenant": hold.tenant} | totals_row(**sums)
        return [
            (self.changes.book, row | {"window": window.value, "start_ms": calendar.start(window, hold.at_ms)})
            for window in COUNTED
        ]

    def made(self, hold: Hold, *, owner: str = "", until_ms: int = 0) -> Step:
        """Writes a new hold down."""
        return self.changes.hold, hold_row(hold) | {"owner": owner, "owned_until_ms": until_ms}

    def entered(self, entry: Params) -> Step:
        """Writes an entry down."""
        return self.changes.entry, entry

    def grown(self, hold: Hold, amount: Amount) -> Step:
        """``amount`` is in a hold from now on."""
        given = {"b_name": hold.name, "b_run": hold.run, "tokens": amount.tokens, "device_ms": amount.device_ms}
        return self.changes.grow, given

    def grow(self, conn: Connection, hold: Hold, to: Amount, allowance: Allowance, at_ms: int) -> Amount:
        """What an open hold may grow by; nothing is written."""
        if to.tokens <= hold.amount.tokens and to.device_ms <= hold.amount.device_ms:
            return NOTHING
        windows = read_windows(conn, hold.tenant, hold.at_ms)
        return decide.growth(hold.amount, to, allowance, windows, at_ms=at_ms, held_ms=hold.at_ms)

    def extend(self, conn: Connection, hold: Hold, more: Amount, *, seq: int, at_ms: int) -> None:
        entry = entry_of(Kind.EXTEND, hold, seq=seq, at_ms=at_ms, **totals_row(held=more))
        grown = self.grown(hold, hold.amount + more)
        self.post(conn, *self.booked(hold, held=more), self.entered(entry), grown)

    def lease(
        self, conn: Connection, hold: Hold, allowance: Allowance, *, seq: int, owner: str, until_ms: int
    ) -> Hold | None:
        """A slice of what is free of ``hold``, a wish; None, and nothing is written, where nothing is."""
        windows = read_windows(conn, hold.tenant, hold.at_ms)
        amount = decide.slice_of(hold.amount, allowance, windows, at_ms=hold.at_ms)
        if amount == NOTHING:
            return None
        made = replace(hold, amount=amount, state=State.SLICE)
        entry = entry_of(Kind.LEASE, made, seq=seq, at_ms=hold.at_ms, **totals_row(held=amount))
        new = self.made(made, owner=owner, until_ms=until_ms)
        self.post(conn, new, *self.booked(made, held=amount), self.entered(entry))
        return made

    def take(self, conn: Connection, piece: Hold, taken: Amount, *, seq: int, at_ms: int) -> None:
        """So much less is in a slice."""
        entry = entry_of(Kind.MOVE, piece, seq=seq, at_ms=at_ms, **totals_row(held=NOTHING - taken))
        left = self.grown(piece, piece.amount - taken)
        self.post(conn, *self.booked(piece, held=NOTHING - taken), self.entered(entry), left)

    def ended(self, entry: Params) -> list[Step]:
        """The entry of a hold's end, what follows from it in `usage`, and that it is to be told."""
        steps = [self.entered(entry), (self.changes.count, usage_of(entry))]
        if self._outbox:
            steps.append((self.changes.tell, {name: entry[name] for name in ("tenant", "seq", "at_ms")}))
        return steps


def ended_by(hold: Hold, bill: Bill, price: Price) -> Settled:
    charged = Amount(
        tokens=min(bill.due.tokens, hold.amount.tokens), device_ms=min(bill.due.device_ms, hold.amount.device_ms)
    )
    state = State.SETTLED if bill.cause in CHARGED else State.RELEASED
    return Settled(
        hold=replace(hold, state=state, cause=bill.cause),
        charged=charged,
        measured=bill.measured,
        overrun=bill.measured - charged,
        price=price,
        fresh=True,
    )


def _ending(ended: Settled) -> Params:
    return {
        "b_name": ended.hold.name,
        "b_run": ended.hold.run,
        "state": ended.hold.state.value,
        "cause": ended.hold.cause.value if ended.hold.cause else "",
        **amount_row(ended.hold.amount),
        "charged_tokens": ended.charged.tokens,
        "charged_ms": ended.charged.device_ms,
        "measured_tokens": ended.measured.tokens,
        "measured_ms": ended.measured.device_ms,
        "price_version": ended.price.version,
    }
