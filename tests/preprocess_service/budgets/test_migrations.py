"""An older database becomes today's, and loses nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, insert, select, text

from preprocess_service.budgets.core import ANYBODY, Amount, Cause, Price, Raise, Window
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.schema import metadata, usage
from preprocess_service.budgets.seals import seal_all
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.budgets.verify import verify

from .values import FILED, NOON, ask, bill, limited

Rows = dict[str, list[dict[str, Any]]]
HOURS = 3_600_000


async def test_the_newest_revision_is_the_schema(database: Database) -> None:
    def differences(conn: Connection) -> list[Any]:
        # Alembic takes SQLite's '' for another default than ''.
        options = {"compare_type": True, "compare_server_default": database.kind == "postgresql"}
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    assert await database.read(differences) == []


async def test_replicas_that_start_together_all_succeed(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(6)))
    database = Database(empty_url)
    try:
        versions = await database.read(lambda conn: conn.execute(text("SELECT version_num FROM alembic_version")).all())
    finally:
        await database.close()
    assert len(versions) == 1


async def test_a_database_newer_than_the_program_is_refused(url: str) -> None:
    database = Database(url)
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await database.close()
    with pytest.raises(ValueError, match="newer than this program"):
        await migrate(url)


async def test_an_older_database_with_thousands_of_entries_loses_nothing(empty_url: str, tmp_path: Any) -> None:
    rows = await _history(f"sqlite:///{tmp_path}/history.db")
    await migrate(empty_url, to="0001")
    database = Database(empty_url, wait_s=30)
    try:
        await database.write(lambda conn: _fill_old(conn, rows))
        await migrate(empty_url)
        kept = await database.read(_all)
        proof = await verify(database)
    finally:
        await database.close()
    assert len(rows["entries"]) > 2000
    assert proof.findings == ()
    assert proof.sealed > 1000
    for name, before in rows.items():
        assert _sorted(kept[name]) == _sorted(before), name


async def _history(url: str) -> Rows:
    """Some thousand entries of three tenants over ten weeks, as they were when nothing had a price."""
    await migrate(url)
    database = Database(url, synchronous="OFF")
    ledger = SqlLedger(database)
    await ledger.set_budget(ANYBODY, limited(10**6), by="t", at_ms=NOON)
    await ledger.set_budget("a", limited(15_000, Window.MONTH, shadow=True), by="t", at_ms=NOON)
    extra = Raise(window=Window.DAY, amount=Amount(tokens=5), expires_ms=NOON + HOURS, note="launch")
    await ledger.add_raise("a", extra, by="t", at_ms=NOON)
    causes = list(Cause)
    for number in range(1100):
        at = NOON + number * HOURS
        more = {"tenant": "abc"[number % 3], "tier": "full" if number % 5 else "draft", "policy": "economy"}
        await ledger.reserve(ask(f"n{number}", at_ms=at, request_id=f"q{number}", tokens_saved=7, **more), FILED)
        if number % 20 == 3:
            await ledger.extend(f"n{number}", "r", Amount(tokens=12, device_ms=150), FILED, at)
        if number % 9:
            due = bill(causes[number % len(causes)], tokens=9, device_ms=130)
            await ledger.settle(f"n{number}", "r", due, Price(currency=""), FILED, at)
    await seal_all(database, 1500)
    rows = await database.read(_all)
    await database.close()
    return rows


def _all(conn: Connection) -> Rows:
    return {
        table.name: [dict(row._mapping) for row in conn.execute(select(table))]
        for table in metadata.sorted_tables
        if table.name != "outbox"
    }


def _fill_old(conn: Connection, rows: Rows) -> None:
    """Only the columns that there were then."""
    old = MetaData()
    old.reflect(conn)
    for name, table in old.tables.items():
        if name in rows:
            conn.execute(insert(table), [{c.name: row[c.name] for c in table.c} for row in rows[name]])


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str(sorted(row.items())) for row in rows)


async def test_a_migrated_database_counts_on(empty_url: str) -> None:
    await migrate(empty_url, to="0001")
    await migrate(empty_url)
    ledger = SqlLedger(Database(empty_url))
    await ledger.reserve(ask(), FILED)
    await ledger.settle("n", "r", bill(), Price(), FILED, NOON)
    counted = await ledger.database.read(lambda conn: conn.execute(select(usage.c.requests)).scalars().all())
    await ledger.close()
    assert counted == [1]
