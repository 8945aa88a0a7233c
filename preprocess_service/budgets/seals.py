"""Seals: what a tenant's ledger said is bound into a chain of hashes, so that nothing sealed can be changed unseen.

A seal covers the entries after the one before it: SHA-256 over the hash before (hex, empty at the beginning) and the bytes of each
entry in the order of their numbers. Whoever keeps the last hash elsewhere can tell even whether the chain was made anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from .database import Database
from .rows import dumps
from .schema import accounts, entries, seals

PAGE = 2000
"""Entries that are read at once."""

_page = (
    select(entries)
    .where(
        entries.c.tenant == bindparam("tenant"),
        entries.c.seq > bindparam("after"),
        entries.c.seq <= bindparam("last"),
    )
    .order_by(entries.c.seq)
    .limit(PAGE)
)


def canonical(row: Row[Any]) -> bytes:
    """A line of JSON: columns by name, those that are 0 or empty left out, so that a later column changes no hash of today."""
    return dumps({name: value for name, value in row._mapping.items() if value not in (0, "")}).encode() + b"\n"


class Chain:
    """The hash that grows entry by entry."""

    def __init__(self, before: str) -> None:
        self._sum = hashlib.sha256(before.encode())

    def add(self, row: Row[Any]) -> None:
        self._sum.update(canonical(row))

    def hex(self) -> str:
        return self._sum.hexdigest()


def pages(conn: Connection, tenant: str, after: int, last: int) -> Iterator[Row[Any]]:
    """Entries numbered after ``after`` up to ``last``, never more than a page of them in memory."""
    while True:
        rows = conn.execute(_page, {"tenant": tenant, "after": after, "last": last}).all()
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].seq


async def seal(database: Database, tenant: str, *, most: int = PAGE, at_ms: int | None = None) -> int:
    """Seal up to ``most`` entries of a tenant that are not sealed yet; how many. Replicas may do it at once."""
    now = round(time.time() * 1000) if at_ms is None else at_ms
    return await database.write(lambda conn: _seal(conn, tenant, most, now))


async def seal_all(database: Database, most: int = PAGE, *, at_ms: int | None = None) -> int:
    """The same for tenants that have unsealed entries, up to ``most`` entries together."""
    waiting = select(accounts.c.tenant).where(accounts.c.last_seq > accounts.c.sealed_seq).limit(most)
    done = 0
    for tenant in await database.read(lambda conn: conn.execute(waiting).scalars().all()):
        if done >= most:
            break
        done += await seal(database, tenant, most=most - done, at_ms=at_ms)
    return done


def _seal(conn: Connection, tenant: str, most: int, at_ms: int) -> int:
    account = conn.execute(select(accounts).where(accounts.c.tenant == tenant).with_for_update()).one_or_none()
    if account is None or account.last_seq <= account.sealed_seq:
        return 0
    first, last = account.sealed_seq + 1, min(account.last_seq, account.sealed_seq + most)
    before = conn.execute(
        select(seals.c.hash).where(seals.c.tenant == tenant, seals.c.last_seq == account.sealed_seq)
    ).scalar_one_or_none()
    chain = _chained(before or "", pages(conn, tenant, account.sealed_seq, last))
    given = {"tenant": tenant, "first_seq": first, "last_seq": last, "at_ms": at_ms, "hash": chain.hex()}
    conn.execute(insert(seals), given)
    conn.execute(update(accounts).where(accounts.c.tenant == tenant).values(sealed_seq=last))
    return int(last - account.sealed_seq)


def _chained(before: str, rows: Iterable[Row[Any]]) -> Chain:
    chain = Chain(before)
    for row in rows:
        chain.add(row)
    return chain
