"""Random histories of the ledger in SQL beside the one in memory, with crashes between any two statements.

A `hypothesis` state machine: every call goes to both. A crash is an exception at the k-th boundary of a statement (before it was sent,
after it was answered), before the commit, or after it, when the caller does not know. Afterwards the books in SQL must be those of the
memory without the call, or, only where it was committed, with it; and the same call again must answer as the memory does.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, delete, event, select

from preprocess_service.budgets import bills
from preprocess_service.budgets.core import (
    ANYBODY,
    HELD,
    Amount,
    Ask,
    Budget,
    Cause,
    Filed,
    Hold,
    Limit,
    Price,
    Raise,
    Settled,
    State,
    Totals,
    Window,
)
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.ledger import Ledger
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.budgets.rows import hold_of, settled_of, totals_of
from preprocess_service.budgets.schema import accounts, holds, metadata, requests, windows
from preprocess_service.budgets.seals import seal
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.budgets.verify import verify
from reelgate.rpc.errors import BudgetChangedError, InvalidFieldError

START = 1_764_547_180_000
"""20 seconds before December 2025: minute, day and month change soon."""
JUMPS = (0, 1, 15_000, 60_000, 3_600_000, 86_400_000, 20 * 86_400_000)
PRICE = Price(version="1", tokens_micros=2_000, device_micros=900)
Call = Callable[[Ledger], Awaitable[Any]]


class Crash(Exception):  # noqa: N818 it is no error of the program
    """This process is gone, as far as the database can tell."""


class Crasher:
    """Raises at one chosen boundary of a call's statements."""

    def __init__(self, database: Database) -> None:
        self._left: int | None = None
        self.crashed = self.committed = False
        engine = database.engine
        event.listen(engine, "before_cursor_execute", self._boundary)
        event.listen(engine, "after_cursor_execute", self._boundary)
        event.listen(engine, "commit", self._boundary)
        self._commit = engine.dialect.do_commit
        engine.dialect.do_commit = self._after_commit  # type: ignore[method-assign]

    def at(self, boundary: int | None) -> None:
        self._left, self.crashed, self.committed = boundary, False, False

    def _boundary(self, *_: object) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._left = None
                self.crashed = True
                raise Crash

    def _after_commit(self, connection: Any) -> None:
        self._commit(connection)
        self.committed = True
        self._boundary()


class LedgerMachine(RuleBasedStateMachine):
    """``open`` is set by whoever runs it: a database with the tables, opened in the loop of ``runner``."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]
    crasher: ClassVar[Crasher]
    calls: ClassVar[int] = 0
    crashes: ClassVar[int] = 0
    unknown: ClassVar[int] = 0

    tenants = st.sampled_from(["a", "b"])
    numbers = st.integers(0, 4)
    runs = st.sampled_from(["r1", "r2"])
    sizes = st.sampled_from([0, 1, 5, 20, 60])
    points = st.one_of(st.none(), st.none(), st.integers(0, 30))

    short = st.one_of(st.none(), st.integers(0, 12))
    """Of calls of few statements, which the others would hardly ever hit."""

    @classmethod
    def use(cls, runner: asyncio.Runner, database: Database) -> None:
        cls.runner, cls.database, cls.crasher = runner, database, Crasher(database)
        cls.calls = cls.crashes = cls.unknown = 0

    @initialize(filed=st.sampled_from([Filed(), Filed(default=Budget(limits=(Limit(window=Window.DAY, tokens=50),)))]))
    def begin(self, filed: Filed) -> None:
        self.memory = MemoryLedger()
        # Two replicas, each with its own memory of what was set.
        self.ledgers = [SqlLedger(self.database, outbox=True), SqlLedger(self.database)]
        self.filed, self.now = filed, START
        self.turn = 0
        self._run(self.database.write(_emptied))

    @rule(jump=st.sampled_from(JUMPS))
    def clock(self, jump: int) -> None:
        self.now += jump

    @rule(t=tenants, n=numbers, run=runs, tokens=sizes, ms=sizes, q=st.sampled_from(["", "", "q1", "q2"]), crash=points)
    def reserve(self, t: str, n: int, run: str, tokens: int, ms: int, q: str, crash: int | None) -> None:
        ask = self._ask(t, n, run, tokens, ms, q)
        self._both(lambda ledger: ledger.reserve(ask, self.filed), crash)

    @rule(t=tenants, n=numbers, run=runs, tokens=sizes, ms=sizes, q=st.sampled_from(["", "q1"]), crash=points)
    def would(self, t: str, n: int, run: str, tokens: int, ms: int, q: str, crash: int | None) -> None:
        ask = self._ask(t, n, run, tokens, ms, q)
        self._both(lambda ledger: ledger.would(ask, self.filed), crash)

    @rule(t=tenants, n=numbers, run=runs, tokens=sizes, ms=sizes, crash=points)
    def extend(self, t: str, n: int, run: str, tokens: int, ms: int, crash: int | None) -> None:
        to, now = Amount(tokens=tokens, device_ms=ms), self.now
        self._both(lambda ledger: ledger.extend(f"{t}{n}", run, to, self.filed, now), crash)

    @rule(t=tenants, n=numbers, run=runs, cause=st.sampled_from(Cause), tokens=sizes, ms=sizes, crash=points)
    def settle(self, t: str, n: int, run: str, cause: Cause, tokens: int, ms: int, crash: int | None) -> None:
        bill, now = bills.bill(cause, tokens=tokens, device_ms=ms, saved_ms=ms), self.now
        self._both(lambda ledger: ledger.settle(f"{t}{n}", run, bill, PRICE, self.filed, now), crash)

    @rule(t=tenants, n=numbers, tokens=sizes, ms=sizes, for_ms=st.sampled_from([1, 60_000]), crash=short)
    def lease(self, t: str, n: int, tokens: int, ms: int, for_ms: int, crash: int | None) -> None:
        ask = replace(self._ask(t, n, "s", tokens, ms, ""), name=f"slices/{t}{n % 2}")
        self._both(lambda ledger: ledger.lease(ask, self.filed, owner="x", for_ms=for_ms), crash)

    @rule(
        t=tenants,
        n=numbers,
        run=runs,
        of=st.sampled_from(["a0", "a1", "b0", "b1"]),
        tokens=sizes,
        ms=sizes,
        q=st.sampled_from(["", "q1"]),
        crash=points,
    )
    def move(self, t: str, n: int, run: str, of: str, tokens: int, ms: int, q: str, crash: int | None) -> None:
        ask, now, piece = self._ask(t, n, run, tokens, ms, q), self.now, (f"slices/{of}", "s")
        given = {"owner": "x", "until_ms": now + 30_000, "at_ms": now}
        self._both(lambda ledger: ledger.move(piece, ask, self.filed, **given), crash)

    @rule(t=tenants, n=st.integers(0, 1), lapsed=st.booleans(), crash=short)
    def give_back(self, t: str, n: int, lapsed: bool, crash: int | None) -> None:
        now = self.now
        self._both(lambda ledger: ledger.give_back(f"slices/{t}{n}", "s", at_ms=now, lapsed=lapsed), crash)

    @rule(most=st.integers(1, 3), crash=short)
    def lapsed(self, most: int, crash: int | None) -> None:
        now = self.now
        self._both(lambda ledger: ledger.lapsed(at_ms=now, most=most), crash)

    @rule(owner=st.sampled_from(["x", "y"]), for_ms=st.sampled_from([1, 30_000]), most=st.integers(1, 4), crash=points)
    def claim(self, owner: str, for_ms: int, most: int, crash: int | None) -> None:
        now = self.now
        # Again would find them taken: by itself, but taken.
        self._both(lambda ledger: ledger.claim(owner, at_ms=now, for_ms=for_ms, most=most), crash, again=False)

    @rule(t=tenants, n=numbers, run=runs, owner=st.sampled_from(["x", "y"]), crash=points)
    def renew(self, t: str, n: int, run: str, owner: str, crash: int | None) -> None:
        now = self.now
        keys = [(f"{t}{n}", run), (f"{t}0", "r1"), (f"slices/{t}{n}", "s")]
        self._both(lambda ledger: ledger.renew(owner, keys, at_ms=now, for_ms=60_000), crash)

    @rule(
        t=st.sampled_from(["a", "b", ANYBODY]),
        limits=st.lists(
            st.builds(
                Limit,
                window=st.sampled_from(Window),
                tokens=st.sampled_from([None, 10, 40, 100]),
                device_ms=st.sampled_from([None, 60, 150]),
                soft=st.booleans(),
                carry_over=st.booleans(),
            ),
            max_size=3,
            unique_by=lambda limit: limit.window,
        ),
        shadow=st.sampled_from([False, False, False, True]),
        concurrent=st.sampled_from([None, None, 0, 2]),
        take_away=st.sampled_from([False, False, False, True]),
        expected=st.sampled_from([None, None, 0, 1, 2]),
        crash=points,
    )
    def budget(
        self,
        t: str,
        limits: list[Limit],
        shadow: bool,
        concurrent: int | None,
        take_away: bool,
        expected: int | None,
        crash: int | None,
    ) -> None:
        given = None if take_away else Budget(limits=tuple(limits), shadow=shadow, concurrent=concurrent)
        now = self.now
        self._both(lambda ledger: ledger.set_budget(t, given, by="x", at_ms=now, expected=expected), crash, again=False)

    @rule(t=tenants, window=st.sampled_from(Window), tokens=sizes, for_ms=st.sampled_from(JUMPS), crash=points)
    def more(self, t: str, window: Window, tokens: int, for_ms: int, crash: int | None) -> None:
        now = self.now
        extra = Raise(window=window, amount=Amount(tokens=tokens, device_ms=5), expires_ms=now + for_ms, note="n")
        self._both(lambda ledger: ledger.add_raise(t, extra, by="x", at_ms=now), crash, again=False)

    @rule(t=tenants, most=st.integers(1, 5), crash=points)
    def sealing(self, t: str, most: int, crash: int | None) -> None:
        self.crasher.at(crash)
        try:
            self._run(seal(self.database, t, most=most, at_ms=self.now))
        except Crash:
            type(self).crashes += 1
        finally:
            self.crasher.at(None)

    @invariant()
    def the_books_are_the_same(self) -> None:
        if hasattr(self, "memory"):
            assert self._run(self.database.read(_kept)) == _remembered(self.memory)
            tenant, replica = "ab"[self.turn % 2], self.ledgers[self.turn // 2 % 2]
            standing = [self._run(one.standing(tenant, self.filed, self.now)) for one in (self.memory, replica)]
            assert standing[0] == standing[1]

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            proof = self._run(verify(self.database))
            assert proof.findings == ()
            assert self._run(self.ledgers[0].drift()) == ()

    def _ask(self, t: str, n: int, run: str, tokens: int, ms: int, q: str) -> Ask:
        return Ask(
            tenant=t,
            name=f"{t}{n}",
            run=run,
            amount=Amount(tokens=tokens, device_ms=ms),
            at_ms=self.now,
            request_id=q,
            tier="full" if n else "draft",
            tokens_saved=n - 2,
            prepare_us=n * 100,
        )

    def _both(self, call: Call, crash: int | None, *, again: bool = True) -> None:
        type(self).calls += 1
        before = copy.deepcopy(self.memory)
        expected = self._outcome(call, self.memory)
        self.turn += 1
        self.crasher.at(crash)
        got = self._outcome(call, self.ledgers[self.turn % 2])
        crashed, committed = self.crasher.crashed, self.crasher.committed
        self.crasher.at(None)
        if not crashed:
            assert _comparable(got) == _comparable(expected)
            return
        type(self).crashes += 1
        type(self).unknown += committed
        assert isinstance(got, Crash)
        if not committed:
            self.memory = before
        self.the_books_are_the_same()
        if again:
            repeated = self._outcome(call, self.ledgers[self.turn % 2])
            assert _comparable(repeated) == _comparable(self._outcome(call, self.memory))

    def _outcome(self, call: Call, ledger: Ledger) -> object:
        try:
            return self._run(call(ledger))
        except (InvalidFieldError, BudgetChangedError, Crash) as error:
            return error

    def _run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)


def _comparable(value: object) -> object:
    if isinstance(value, Exception):
        return type(value), str(value)
    if isinstance(value, Settled) and not value.fresh:
        # Of the price of a hold that had ended only the version is kept with it.
        return value.hold, value.charged, value.measured, value.overrun, value.price.version
    return value


def _emptied(conn: Connection) -> None:
    for table in metadata.sorted_tables:
        conn.execute(delete(table))


def _kept(conn: Connection) -> dict[str, object]:
    rows = conn.execute(select(holds)).all()
    ended = {(row.name, row.run): _comparable(settled_of(row)) for row in rows if row.state not in HELD}
    sums = {(r.tenant, Window(r.window), r.start_ms): totals_of(r) for r in conn.execute(select(windows))}
    return {
        "holds": {(row.name, row.run): hold_of(row) for row in rows},
        "ended": ended,
        "totals": {slot: totals for slot, totals in sums.items() if totals != Totals()},
        "requests": {(r.tenant, r.request_id): (r.name, r.run) for r in conn.execute(select(requests))},
        "claims": {(row.name, row.run): (row.owner, row.owned_until_ms) for row in rows if row.owner},
        "open": {r.tenant: r.open_holds for r in conn.execute(select(accounts)) if r.open_holds},
        "versions": {r.tenant: r.budget_version for r in conn.execute(select(accounts)) if r.budget_version},
    }


def _remembered(memory: MemoryLedger) -> dict[str, object]:
    still: list[Hold] = [hold for hold in memory.holds.values() if hold.state is State.OPEN]
    again = {key: (s.hold, s.charged, s.measured, s.overrun, s.price.version) for key, s in memory.settled.items()}
    return {
        "holds": memory.holds,
        "ended": again,
        "totals": {slot: totals for slot, totals in memory.totals.items() if totals != Totals()},
        "requests": memory._requests,
        "claims": memory._claims,
        "open": {t: sum(h.tenant == t for h in still) for t in {h.tenant for h in still}},
        "versions": {t: version for t, version in memory._versions.items() if version},
    }
