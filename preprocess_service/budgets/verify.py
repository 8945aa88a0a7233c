"""The proof of the books: every entry is there and as it was sealed, and everything else is what the entries add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from . import tally
from .changes import Changes
from .core import HELD, Kind, State
from .database import Database
from .rows import USAGE, usage_of
from .schema import accounts, budgets, entries, holds, raises, seals, usage, windows
from .seals import Chain, pages

MOST = 100
"""Findings that are told of one tenant."""
WORDS = ("tier", "policy", "request_id")
"""Of a hold, and the same in each of its entries."""
UsageKey = tuple[int, str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong, in words; ``seq`` is 0 where it is no entry's."""

    tenant: str
    seq: int
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where a tenant's chain ends: to be kept elsewhere, and compared another day."""

    tenant: str
    sealed_seq: int
    last_seq: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Of all tenants. ``entries`` were read, the first ``sealed`` of each tenant checked by their hash too."""

    tenants: int
    entries: int
    sealed: int
    findings: tuple[Finding, ...]
    heads: tuple[Head, ...]

    @property
    def ok(self) -> bool:
        return not self.findings


async def verify(books: str | Database, *, wait_s: float = 3600.0, heads: Iterable[Head] = ()) -> Verification:
    """Check everything, each tenant as it is at one moment, while the books are in use. Memory grows with a tenant's minutes and
    open holds, not with its entries. ``heads``, of an earlier day and kept elsewhere, must still be in the chains: only they tell
    whether a chain was made anew from its beginning. Raises ``BudgetStoreUnavailableError``."""
    database = Database(books, wait_s=wait_s, connect_s=5.0) if isinstance(books, str) else books
    try:
        known = {head.tenant: head for head in heads}
        tenants = sorted({*await database.read(_tenants), *known})
        checks = [await database.read(partial(_check, tenant, known.get(tenant))) for tenant in tenants]
    finally:
        if isinstance(books, str):
            await database.close()
    return Verification(
        tenants=len(checks),
        entries=sum(check.read for check in checks),
        sealed=sum(check.sealed for check in checks),
        findings=tuple(finding for check in checks for finding in check.findings),
        heads=tuple(check.head for check in checks),
    )


def _tenants(conn: Connection) -> list[str]:
    """Those with an account, and those that should have one."""
    tables = (entries, holds, usage, windows, budgets, raises)
    kept = select(accounts.c.tenant).union(*(select(table.c.tenant) for table in tables))
    return sorted(conn.execute(kept).scalars())


def _check(tenant: str, known: Head | None, conn: Connection) -> _Check:
    check = _Check(conn, tenant, known)
    try:
        return check.run()
    except ValueError as error:  # a word that no ledger wrote; the other tenants are looked at all the same
        check.say(0, f"the books cannot be read to their end: {error}")
        return check


class _Check:
    def __init__(self, conn: Connection, tenant: str, known: Head | None) -> None:
        self._conn, self._known = conn, known
        self.tenant = tenant
        self.read = self.sealed = 0
        self.findings: list[Finding] = []
        self.head = Head(tenant=tenant, sealed_seq=0, last_seq=0, hash="")
        self._open = 0
        self._changes = Changes()
        self._usage: dict[UsageKey, dict[str, int]] = defaultdict(lambda: dict.fromkeys(USAGE, 0))

    def run(self) -> _Check:
        account = self._conn.execute(select(accounts).where(accounts.c.tenant == self.tenant)).one_or_none()
        if account is None:
            self.say(0, "there is no account")
            return self
        self._entries(account)
        self._account(account)
        self._continues()
        for what in self._changes.compared(self._conn, self.tenant):
            self.say(0, what)
        for drift in tally.of_tenant(self._conn, self.tenant):
            where = f"{drift.window} that began at {drift.start_ms}"
            self.say(0, f"the {where} says {drift.kept}, entries and holds say {drift.counted}")
        for row in _other_holds(self._conn, self.tenant):
            self.say(0, f"the hold {row.name} {row.run} is not what its entries say")
        self._rollup()
        return self

    def say(self, seq: int, what: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(Finding(tenant=self.tenant, seq=seq, what=what))

    def _entries(self, account: Row[Any]) -> None:
        """All of them, in order, with the seals that end among them."""
        marks = _seals(self._conn, self.tenant)
        seal, chain, expected, before = next(marks, None), Chain(""), 1, ""
        for row in pages(self._conn, self.tenant, 0, 2**62):
            if row.seq != expected:
                self.say(expected, f"entries {expected} to {row.seq - 1} are missing")
                # A seal that ended in the gap can say nothing any more.
                while seal is not None and seal.last_seq < row.seq:
                    self.say(seal.last_seq, "an entry under this seal was removed")
                    before, seal = seal.hash, next(marks, None)
                    chain = Chain(before)
            expected = row.seq + 1
            self._entry(row)
            if seal is None:
                continue
            chain.add(row)
            if row.seq == seal.last_seq:
                if chain.hex() != seal.hash:
                    self.say(seal.last_seq, f"entries {seal.first_seq} to {seal.last_seq} are not what was sealed")
                self.sealed = seal.last_seq
                before, seal = seal.hash, next(marks, None)
                chain = Chain(before)
        if seal is not None:
            self.say(seal.last_seq, "a seal covers entries that are not there")
        if account.sealed_seq != self.sealed and not self.findings:
            self.say(account.sealed_seq, f"the account says {account.sealed_seq} are sealed, seals say {self.sealed}")
        self.head = Head(tenant=self.tenant, sealed_seq=self.sealed, last_seq=expected - 1, hash=before)

    def _entry(self, row: Row[Any]) -> None:
        self.read += 1
        if row.kind == Kind.RESERVE:
            self._open += 1
        elif row.kind in (Kind.SETTLE, Kind.RELEASE):
            self._open -= 1
            if row.charged_tokens > -row.held_tokens or row.charged_ms > -row.held_ms:
                self.say(row.seq, f"charged more than was held for {row.name} {row.run}")
            added = usage_of(dict(row._mapping))
            kept = self._usage[added["hour_ms"], added["tier"], added["policy"], added["currency"]]
            for name in USAGE:
                kept[name] += added[name]
        elif row.kind in (Kind.BUDGET, Kind.RAISE):
            self._changes.add(row)

    def _account(self, account: Row[Any]) -> None:
        said = {"last_seq": self.head.last_seq, "open_holds": self._open, "budget_version": self._changes.count}
        for name, counted in said.items():
            kept = getattr(account, name)
            if kept != counted:
                self.say(0, f"the account says {name} {kept}, the entries say {counted}")

    def _continues(self) -> None:
        known = self._known
        if known is None or not known.hash:
            return
        asked = select(seals.c.hash).where(seals.c.tenant == self.tenant, seals.c.last_seq == known.sealed_seq)
        if self._conn.execute(asked).scalar_one_or_none() != known.hash:
            self.say(known.sealed_seq, "the chain is not the one that was known: it was made anew, or cut off")

    def _rollup(self) -> None:
        for row in self._conn.execute(select(usage).where(usage.c.tenant == self.tenant)):
            counted = self._usage.pop((row.hour_ms, row.tier, row.policy, row.currency), dict.fromkeys(USAGE, 0))
            wrong = [name for name in USAGE if getattr(row, name) != counted[name]]
            if wrong:
                self.say(0, f"usage of the hour {row.hour_ms} is not what the entries say in {', '.join(wrong)}")
        for hour, *_ in self._usage:
            self.say(0, f"usage of the hour {hour} is missing")


def _seals(conn: Connection, tenant: str) -> Iterator[Row[Any]]:
    after = 0
    asked = select(seals).where(seals.c.tenant == tenant).order_by(seals.c.last_seq).limit(1000)
    while rows := conn.execute(asked.where(seals.c.last_seq > after)).all():
        yield from rows
        after = rows[-1].last_seq


def _other_holds(conn: Connection, tenant: str) -> Iterator[Row[Any, Any]]:
    """Holds that differ from the sum of their entries, and sums of entries without a hold."""
    names = ("held_tokens", "held_ms", "charged_tokens", "charged_ms", "overrun_tokens", "overrun_ms")
    begun = entries.c.kind.in_((Kind.RESERVE.value, Kind.LEASE.value))
    ended = entries.c.kind.in_((Kind.SETTLE.value, Kind.RELEASE.value, Kind.RETURN.value))
    said = (
        select(
            entries.c.name,
            entries.c.run,
            *(func.sum(entries.c[name]).label(name) for name in names),
            func.max(entries.c.reserved_ms).label("reserved_ms"),
            func.min(entries.c.reserved_ms).label("first_ms"),
            func.count().filter(ended).label("ends"),
            func.count().filter(entries.c.kind == Kind.SETTLE.value).label("settles"),
            func.count().filter(begun).label("begins"),
            func.max(entries.c.cause).label("cause"),
            *(func.min(entries.c[name]).label(f"least_{name}") for name in WORDS),
            *(func.max(entries.c[name]).label(f"most_{name}") for name in WORDS),
        )
        .where(entries.c.tenant == tenant, entries.c.name != "")
        .group_by(entries.c.name, entries.c.run)
        .subquery()
    )
    mine = select(holds).where(holds.c.tenant == tenant).subquery()
    h, e = mine.c, said.c
    is_open = h.state.in_([state.value for state in HELD])
    differs = or_(
        e.begins != 1,
        e.reserved_ms != h.at_ms,
        e.first_ms != h.at_ms,
        e.cause != h.cause,
        (e.settles > 0) != (h.state == State.SETTLED.value),
        *(or_(e[f"least_{name}"] != h[name], e[f"most_{name}"] != h[name]) for name in WORDS),
        e.charged_tokens != h.charged_tokens,
        e.charged_ms != h.charged_ms,
        e.overrun_tokens != h.measured_tokens - h.charged_tokens,
        e.overrun_ms != h.measured_ms - h.charged_ms,
        and_(is_open, or_(e.ends != 0, e.held_tokens != h.tokens, e.held_ms != h.device_ms)),
        and_(~is_open, or_(e.ends != 1, e.held_tokens != 0, e.held_ms != 0)),
    )
    same = and_(h.name == e.name, h.run == e.run)
    lonely = select(h.name, h.run).outerjoin(said, same).where(or_(e.name.is_(None), differs))
    unheld = select(e.name, e.run).outerjoin(mine, same).where(h.name.is_(None))
    for asked in (lonely, unheld):
        yield from conn.execute(asked.limit(MOST))
