"""What a transaction of the ledger does to the tables: plain functions of a connection, for `sql.py` to put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, insert

from . import calendar, decide
from . import statements as sql
from .core import ANYBODY, COUNTED, NOTHING, Allowance, Amount, Budget, Filed, Hold, Kind, Raise, State, Totals, Window
from .rows import Params, budget_of, entry_of, hold_row, raise_of, totals_of, totals_row, usage_of
from .schema import entries, holds, outbox

INSERT_HOLD = insert(holds)
INSERT_ENTRY = insert(entries)
INSERT_OUTBOX = insert(outbox)
REMEMBERED = 10_000
"""Tenants whose set budgets are kept in this process; more than that, and it begins anew."""


class Books:
    """The tables of one dialect, and what was set for tenants, remembered by its version."""

    def __init__(self, dialect: str, *, outbox: bool) -> None:
        self.upserts = sql.Upserts(dialect)
        self._outbox = outbox
        self._set: dict[str, tuple[int, Budget | None, tuple[Raise, ...]]] = {}

    def bump(self, conn: Connection, tenant: str, *, entries: int = 1, opened: int = 0, version: int = 0) -> Row[Any]:
        """Lock the tenant's row to the end of the transaction; its new numbers, and the version of the default budget."""
        given = {"tenant": tenant, "last_seq": entries, "open_holds": opened, "budget_version": version}
        return conn.execute(self.upserts.bump, given).one()

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

    def book(self, conn: Connection, hold: Hold, **sums: Amount) -> None:
        """Add to all windows of a hold's reservation."""
        row: Params = {"tenant": hold.tenant} | totals_row(**sums)
        starts: list[Params] = [
            {"window": window.value, "start_ms": calendar.start(window, hold.at_ms)} for window in COUNTED
        ]
        conn.execute(self.upserts.book, [row | start for start in starts])

    def grow(self, conn: Connection, hold: Hold, to: Amount, allowance: Allowance, at_ms: int) -> Amount:
        """What an open hold may grow by; nothing is written."""
        if to.tokens <= hold.amount.tokens and to.device_ms <= hold.amount.device_ms:
            return NOTHING
        totals, befores = read_windows(conn, hold.tenant, hold.at_ms)
        return decide.growth(hold.amount, to, allowance, totals, befores, at_ms=at_ms)

    def extend(self, conn: Connection, hold: Hold, more: Amount, *, seq: int, at_ms: int) -> None:
        self.book(conn, hold, held=more)
        entry = entry_of(Kind.EXTEND, hold, seq=seq, at_ms=at_ms, **totals_row(held=more))
        conn.execute(INSERT_ENTRY, entry)

    def lease(
        self, conn: Connection, hold: Hold, allowance: Allowance, *, seq: int, owner: str, until_ms: int
    ) -> Hold | None:
        """A slice of what is free of ``hold``, a wish; None, and nothing is written, where nothing is."""
        windows = read_windows(conn, hold.tenant, hold.at_ms)
        amount = decide.slice_of(hold.amount, allowance, *windows, at_ms=hold.at_ms)
        if amount == NOTHING:
            return None
        made = replace(hold, amount=amount, state=State.SLICE)
        conn.execute(INSERT_HOLD, hold_row(made) | {"owner": owner, "owned_until_ms": until_ms})
        self.book(conn, made, held=amount)
        conn.execute(INSERT_ENTRY, entry_of(Kind.LEASE, made, seq=seq, at_ms=hold.at_ms, **totals_row(held=amount)))
        return made

    def take(self, conn: Connection, piece: Hold, taken: Amount, *, seq: int, at_ms: int) -> None:
        """So much less is in a slice."""
        left = piece.amount - taken
        given = {"b_name": piece.name, "b_run": piece.run, "tokens": left.tokens, "device_ms": left.device_ms}
        conn.execute(sql.grow_hold, given)
        self.book(conn, piece, held=NOTHING - taken)
        entry = entry_of(Kind.MOVE, piece, seq=seq, at_ms=at_ms, **totals_row(held=NOTHING - taken))
        conn.execute(INSERT_ENTRY, entry)

    def end(self, conn: Connection, entry: Params) -> None:
        conn.execute(INSERT_ENTRY, entry)
        conn.execute(self.upserts.count, usage_of(entry))
        if self._outbox:
            conn.execute(INSERT_OUTBOX, {name: entry[name] for name in ("tenant", "seq", "at_ms")})


def read_windows(conn: Connection, tenant: str, at_ms: int) -> tuple[Mapping[Window, Totals], Mapping[Window, Totals]]:
    """The totals of the windows in which ``at_ms`` lies, and of those before them; all are there, empty ones too."""
    now = {window: calendar.start(window, at_ms) for window in COUNTED}
    was = {window: calendar.before(window, at_ms) for window in COUNTED}
    given: Params = {f"{window}_now": now[window] for window in COUNTED}
    given |= {f"{window}_was": was[window] for window in COUNTED}
    found = {
        (row.window, row.start_ms): totals_of(row) for row in conn.execute(sql.read_windows, given | {"tenant": tenant})
    }
    return (
        {window: found.get((window.value, now[window]), decide.ZERO) for window in COUNTED},
        {window: found.get((window.value, was[window]), decide.ZERO) for window in COUNTED},
    )
