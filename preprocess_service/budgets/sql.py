"""The ledger in a database. Each call is one transaction; each change begins by locking the tenant's row of `accounts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from . import decide
from . import statements as sql
from .core import (
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
    Kind,
    Price,
    Raise,
    Settled,
    Standing,
    State,
)
from .database import Database
from .drifting import drifts
from .ledger import Drift
from .looking import Seen, account_of, find, locked, look, read_windows
from .memory import hold_of as granted
from .posting import Books, ended_by
from .ready import Step
from .rows import (
    details_of,
    ending_of,
    entry_of,
    hold_of,
    settled_of,
    totals_row,
)
from .setting import add_raise, set_budget


class SqlLedger:
    """See `Ledger`. ``outbox``: each settlement is put down, in its transaction, as something to be told to the outside. ``looks``: the
    same database with more patience, for what reads all of it; whatever becomes of that is no sign that the ledger is down.
    `close` closes both."""

    def __init__(self, database: Database, *, outbox: bool = False, looks: Database | None = None) -> None:
        self.database = database
        self._looks = looks or database
        self._books = Books(database.engine.dialect, outbox=outbox)

    async def reserve(self, ask: Ask, filed: Filed) -> Decision:
        return await self.database.write(lambda conn: self._reserve(conn, ask, filed))

    async def would(self, ask: Ask, filed: Filed) -> Decision:
        return await self.database.read(lambda conn: self._would(conn, ask, filed))

    async def extend(self, name: str, run: str, to: Amount, filed: Filed, at_ms: int) -> Hold | None:
        return await self.database.write(lambda conn: self._extend(conn, name, run, to, filed, at_ms))

    async def settle(self, name: str, run: str, bill: Bill, price: Price, filed: Filed, at_ms: int) -> Settled | None:
        return await self.database.write(lambda conn: self._settle(conn, name, run, bill, price, filed, at_ms))

    async def find(self, name: str, run: str) -> Hold | None:
        row = await self.database.read(lambda conn: find(conn, name, run))
        return None if row is None else hold_of(row)

    async def claim(self, owner: str, *, at_ms: int, for_ms: int, most: int) -> tuple[Hold, ...]:
        given = {"owner": owner, "now_ms": at_ms, "until_ms": at_ms + for_ms, "most": most}
        rows = await self.database.write(lambda conn: conn.execute(sql.claim_holds, given).all())
        return tuple(sorted(map(hold_of, rows), key=lambda hold: (hold.at_ms, hold.name, hold.run)))

    async def renew(self, owner: str, holds: Sequence[tuple[str, str]], *, at_ms: int, for_ms: int) -> None:
        # In one order for all, so that no two replicas wait for each other.
        given = [
            {"b_name": name, "b_run": run, "owner": owner, "until_ms": at_ms + for_ms}
            for name, run in sorted(set(holds))
        ]
        if given:
            await self.database.write(lambda conn: conn.execute(sql.renew_hold, given))

    async def lease(self, ask: Ask, filed: Filed, *, owner: str, for_ms: int) -> Hold | None:
        return await self.database.write(lambda conn: self._lease(conn, ask, filed, owner, ask.at_ms + for_ms))

    async def move(
        self, piece: tuple[str, str], ask: Ask, filed: Filed, *, owner: str, until_ms: int, at_ms: int
    ) -> Decision:
        return await self.database.write(lambda conn: self._move(conn, piece, ask, filed, owner, until_ms, at_ms))

    async def give_back(self, name: str, run: str, *, at_ms: int, lapsed: bool = False) -> Hold | None:
        return await self.database.write(lambda conn: self._give_back(conn, name, run, at_ms, lapsed))

    async def lapsed(self, *, at_ms: int, most: int) -> tuple[Hold, ...]:
        given = {"now_ms": at_ms, "most": most}
        rows = await self.database.read(lambda conn: conn.execute(sql.find_lapsed, given).all())
        return tuple(map(hold_of, rows))

    async def standing(self, tenant: str, filed: Filed, at_ms: int) -> Standing:
        return await self.database.read(lambda conn: self._standing(conn, tenant, filed, at_ms))

    async def set_budget(
        self, tenant: str, budget: Budget | None, *, by: str, at_ms: int, expected: int | None = None
    ) -> int:
        return await self.database.write(
            lambda conn: set_budget(conn, self._books, tenant, budget, by=by, at_ms=at_ms, expected=expected)
        )

    async def add_raise(self, tenant: str, more: Raise, *, by: str, at_ms: int) -> int:
        return await self.database.write(lambda conn: add_raise(conn, self._books, tenant, more, by=by, at_ms=at_ms))

    async def drift(self) -> tuple[Drift, ...]:
        return await self._looks.read(drifts)

    async def close(self) -> None:
        await self.database.close()
        if self._looks is not self.database:
            await self._looks.close()

    def _reserve(self, conn: Connection, ask: Ask, filed: Filed) -> Decision:
        books = self._books
        account = books.bump(conn, ask.tenant, opened=1)
        given = books.allowance(conn, ask.tenant, filed, account.budget_version, account.default_version)
        seen = look(conn, ask, windows=bool(given.budget.limits))
        if seen.found is not None:
            self._attach(conn, ask, seen.found, seen.led)
            return Decision(hold=seen.found)
        decision = _decided(ask, given, seen, open_holds=account.open_holds - 1)
        if decision.hold is None:
            conn.rollback()
            return decision
        hold, held = decision.hold, totals_row(held=ask.amount)
        details = details_of(decision, ask.flags)
        entry = entry_of(Kind.RESERVE, hold, seq=account.last_seq, at_ms=ask.at_ms, details=details, **held)
        steps = [books.made(hold), *books.booked(hold, held=ask.amount), books.entered(entry), *self._lead(ask, hold)]
        books.post(conn, *steps)
        return decision

    def _attach(self, conn: Connection, ask: Ask, found: Hold, led: Hold | None) -> None:
        """Nothing more is held; only the request's id may lead here from now on."""
        if not ask.request_id or (led is not None and (led.name, led.run) == (found.name, found.run)):
            conn.rollback()
            return
        self._books.bump(conn, ask.tenant, entries=-1, opened=-1)
        self._books.post(conn, *self._lead(ask, found))

    def _lead(self, ask: Ask, hold: Hold) -> list[Step]:
        """The request's id, where it has one, leads to ``hold`` from now on."""
        given = {"tenant": ask.tenant, "request_id": ask.request_id, "name": hold.name, "run": hold.run}
        return [(self._books.changes.lead, given)] if ask.request_id else []

    def _would(self, conn: Connection, ask: Ask, filed: Filed) -> Decision:
        account = account_of(conn, ask.tenant)
        version = getattr(account, "budget_version", 0)
        given = self._books.allowance(conn, ask.tenant, filed, version, account.default_version)
        seen = look(conn, ask, windows=bool(given.budget.limits))
        if seen.found is not None:
            return Decision(hold=seen.found)
        return _decided(ask, given, seen, open_holds=getattr(account, "open_holds", 0))

    def _extend(self, conn: Connection, name: str, run: str, to: Amount, filed: Filed, at_ms: int) -> Hold | None:
        account, row = locked(conn, name, run, opened=0)
        if account is None or row is None:
            return None
        hold = hold_of(row)
        more = NOTHING
        if hold.state is State.OPEN:
            given = self._books.allowance(conn, hold.tenant, filed, account.budget_version, account.default_version)
            more = self._books.grow(conn, hold, to, given, at_ms)
        if more == NOTHING:
            conn.rollback()
            return hold
        self._books.extend(conn, hold, more, seq=account.last_seq, at_ms=at_ms)
        return replace(hold, amount=hold.amount + more)

    def _settle(
        self, conn: Connection, name: str, run: str, bill: Bill, price: Price, filed: Filed, at_ms: int
    ) -> Settled | None:
        account, row = locked(conn, name, run, opened=-1)
        if account is None or row is None:
            return None
        hold = hold_of(row)
        if hold.state is not State.OPEN:
            conn.rollback()
            return settled_of(row) if hold.state is not State.SLICE else None
        seq = account.last_seq
        given = self._books.allowance(conn, hold.tenant, filed, account.budget_version, account.default_version)
        more = self._books.grow(conn, hold, bill.due, given, at_ms)
        if more != NOTHING:
            self._books.extend(conn, hold, more, seq=seq, at_ms=at_ms)
            seq = self._books.bump(conn, hold.tenant).last_seq
            hold = replace(hold, amount=hold.amount + more)
        ended = ended_by(hold, bill, price)
        booked = self._books.booked(hold, held=NOTHING - hold.amount, charged=ended.charged, overrun=ended.overrun)
        entry = ending_of(ended, bill, seq=seq, at_ms=at_ms)
        self._books.post(conn, *booked, self._books.ending(ended), *self._books.ended(entry))
        return ended

    def _lease(self, conn: Connection, ask: Ask, filed: Filed, owner: str, until_ms: int) -> Hold | None:
        account = self._books.bump(conn, ask.tenant)
        row = find(conn, ask.name, ask.run)
        if row is not None:
            conn.rollback()
            return hold_of(row)
        given = self._books.allowance(conn, ask.tenant, filed, account.budget_version, account.default_version)
        made = self._books.lease(conn, granted(ask), given, seq=account.last_seq, owner=owner, until_ms=until_ms)
        if made is None:
            conn.rollback()
        return made

    def _move(
        self,
        conn: Connection,
        piece: tuple[str, str],
        ask: Ask,
        filed: Filed,
        owner: str,
        until_ms: int,
        at_ms: int,
    ) -> Decision:
        account = self._books.bump(conn, ask.tenant, opened=1)
        seen = look(conn, ask, windows=False)
        if seen.found is not None:
            self._attach(conn, ask, seen.found, seen.led)
            return Decision(hold=seen.found)
        row, seq, taken = find(conn, *piece), account.last_seq, NOTHING
        if row is not None and row.state == State.SLICE and row.tenant == ask.tenant:
            left = hold_of(row)
            taken = decide.least(ask.amount, left.amount)
            self._books.take(conn, left, taken, seq=seq, at_ms=at_ms)
            seq = self._books.bump(conn, ask.tenant).last_seq
            ask = replace(ask, at_ms=left.at_ms)
        hold = replace(granted(ask), amount=taken)
        given = self._books.allowance(conn, ask.tenant, filed, account.budget_version, account.default_version)
        # Booked before anything is grown: what left the slice is not free for others, nor for this hold again.
        books = self._books
        books.post(conn, *books.booked(hold, held=taken))
        hold = replace(hold, amount=taken + (more := books.grow(conn, hold, ask.amount, given, at_ms)))
        details = details_of(Decision(hold=hold), ask.flags)
        entry = entry_of(Kind.RESERVE, hold, seq=seq, at_ms=at_ms, details=details, **totals_row(held=hold.amount))
        new = books.made(hold, owner=owner, until_ms=until_ms)
        books.post(conn, new, *books.booked(hold, held=more), books.entered(entry), *self._lead(ask, hold))
        return Decision(hold=hold, fresh=True)

    def _give_back(self, conn: Connection, name: str, run: str, at_ms: int, lapsed: bool) -> Hold | None:
        account, row = locked(conn, name, run, opened=0)
        if account is None or row is None:
            return None
        piece = hold_of(row)
        if piece.state is not State.SLICE or (lapsed and row.owned_until_ms > at_ms):
            conn.rollback()
            return piece
        ended = ended_by(piece, Bill(cause=Cause.NEVER_BEGAN), Price())
        less, cause = totals_row(held=NOTHING - piece.amount), Cause.NEVER_BEGAN.value
        entry = entry_of(Kind.RETURN, piece, seq=account.last_seq, at_ms=at_ms, cause=cause, **less)
        booked = self._books.booked(piece, held=NOTHING - piece.amount)
        self._books.post(conn, *booked, self._books.ending(ended), self._books.entered(entry))
        return ended.hold

    def _standing(self, conn: Connection, tenant: str, filed: Filed, at_ms: int) -> Standing:
        account = account_of(conn, tenant)
        version = getattr(account, "budget_version", 0)
        windows = read_windows(conn, tenant, at_ms)
        return Standing(
            tenant=tenant,
            allowance=self._books.allowance(conn, tenant, filed, version, account.default_version),
            totals=dict(windows.now),
            befores=dict(windows.before),
            open_holds=getattr(account, "open_holds", 0),
            at_ms=at_ms,
        )


def _decided(ask: Ask, given: Allowance, seen: Seen, *, open_holds: int) -> Decision:
    """What becomes of ``ask``, for which nothing stands yet."""
    no, soft = decide.refusals(ask.amount, given, seen.windows, open_holds=open_holds, at_ms=ask.at_ms)
    if no and not given.budget.shadow:
        return Decision(hold=None, refusals=no, warnings=soft)
    return Decision(hold=granted(ask), fresh=True, refusals=no, warnings=soft)
