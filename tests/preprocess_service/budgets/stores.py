"""Real databases with the tables of the ledger in them, and rows for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import BigInteger, Connection, String, insert

from preprocess_service.budgets import schema
from preprocess_service.budgets.database import Database

from .postgres_server import running

HOUR = 3_600_000
JANUARY = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL of its own."""
    with running() as server:
        yield server.url()


@asynccontextmanager
async def tables(url: str) -> AsyncIterator[Database]:
    """A database at ``url``, with empty tables."""
    database = Database(url, wait_s=20)

    def anew(connection: Connection) -> None:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)

    try:
        await database.write(anew)
        yield database
    finally:
        await database.close()


async def add(database: Database, table: Any, *rows: dict[str, Any]) -> None:
    """Rows of a table; what they leave out has its default."""

    def body(connection: Connection) -> None:
        for row in rows:
            connection.execute(insert(table).values(**row))

    await database.write(body)


def hour(at: int, tenant: str = "acme", tier: str = "full", policy: str = "economy", **figures: Any) -> dict[str, Any]:
    """A row of `usage`, ``at`` hours after the first of January 2026."""
    row = {"tenant": tenant, "hour_ms": JANUARY + at * HOUR, "tier": tier, "policy": policy, "currency": "USD"}
    return row | {"requests": 1} | figures


def entry(**given: Any) -> dict[str, Any]:
    """A row of `entries`: by default the settlement of a hold, all figures 0."""
    seq = given.get("seq", 1)
    figures = {c.name: 0 for c in schema.entries.c if isinstance(c.type, BigInteger)}
    words = {c.name: "" for c in schema.entries.c if isinstance(c.type, String)}
    times = {"at_ms": JANUARY + seq, "reserved_ms": JANUARY}
    about = {"tenant": "acme", "seq": seq, "kind": "settle", "name": f"videos/{seq}", "run": "r", "cause": "done"}
    return {**figures, **words, **times, **about, **given}


async def told_of(database: Database, *rows: dict[str, Any]) -> None:
    """Entries that the outside is to be told of."""
    waiting = [{"tenant": row["tenant"], "seq": row["seq"], "at_ms": row["at_ms"]} for row in rows]
    await add(database, schema.entries, *rows)
    await add(database, schema.outbox, *waiting)
