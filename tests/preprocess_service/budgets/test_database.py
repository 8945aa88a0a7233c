"""A database that is gone, hangs, is locked or full: an answer in time, and work goes on when it is back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from preprocess_service.budgets.database import Database, address
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.budgets.verify import verify
from reelgate.rpc.errors import BudgetStoreUnavailableError

from .postgres_server import PostgresServer, programs, running
from .values import FILED, NOON, PRICE, ask, bill


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """One that may be stopped; it loses nothing that it committed."""
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here")
    with running(()) as server:
        yield server


async def _refused(ledger: SqlLedger, name: str) -> float:
    began = time.monotonic()
    with pytest.raises(BudgetStoreUnavailableError) as caught:
        await ledger.reserve(ask(name), FILED)
    assert caught.value.retry_after is not None
    return time.monotonic() - began


async def _many(ledger: SqlLedger) -> None:
    for number in range(500):
        await ledger.reserve(ask(f"n{number}"), FILED)


async def _back(ledger: SqlLedger, name: str) -> None:
    """Within a few seconds the same ledger works again."""
    async with asyncio.timeout(10):
        while True:
            try:
                await ledger.reserve(ask(name), FILED)
                return
            except BudgetStoreUnavailableError:
                await asyncio.sleep(0.2)


async def test_a_postgres_that_was_stopped_is_told_at_once_and_used_again(own_postgres: PostgresServer) -> None:
    url = own_postgres.url()
    await migrate(url)
    ledger = SqlLedger(Database(url))
    await ledger.reserve(ask("before"), FILED)
    own_postgres.stop()
    first, second = await _refused(ledger, "during1"), await _refused(ledger, "during2")
    own_postgres.start()
    await _back(ledger, "after")
    ended = await ledger.settle("before", "r", bill(), PRICE, FILED, NOON)
    proof = await verify(ledger.database)
    await ledger.close()
    assert max(first, second) < 3
    assert ended is not None
    assert proof.findings == ()


async def test_a_restart_between_two_calls_is_not_noticed(own_postgres: PostgresServer) -> None:
    url = own_postgres.url()
    await migrate(url)
    ledger = SqlLedger(Database(url))
    await ledger.reserve(ask("before"), FILED)
    own_postgres.stop()
    own_postgres.start()
    assert (await ledger.reserve(ask("after"), FILED)).fresh
    await ledger.close()


async def test_a_postgres_that_hangs_is_answered_for_in_time(own_postgres: PostgresServer) -> None:
    url = own_postgres.url()
    await migrate(url)
    ledger = SqlLedger(Database(url))
    await ledger.reserve(ask("before"), FILED)
    own_postgres.freeze()
    try:
        waits = await asyncio.gather(*(_refused(ledger, f"during{number}") for number in range(30)))
    finally:
        own_postgres.thaw()
    await _back(ledger, "after")
    proof = await verify(ledger.database)
    await ledger.close()
    assert max(waits) < 3
    assert proof.findings == ()


async def test_a_lock_that_is_held_too_long_is_an_answer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/books.db"
    await migrate(url)
    ledger = SqlLedger(Database(url, wait_s=0.3))
    other = sqlite3.connect(tmp_path / "books.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = await _refused(ledger, "during")
    other.execute("ROLLBACK")
    other.close()
    await _back(ledger, "after")
    await ledger.close()
    assert waited < 2


async def test_a_full_database_refuses_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/books.db"
    await migrate(url)
    ledger = SqlLedger(Database(url))

    async def room(pages: int) -> None:
        await ledger.database.write(lambda conn: conn.execute(text(f"PRAGMA max_page_count = {pages}")))

    await room(1)  # SQLite makes of it: as many as there are
    with pytest.raises(BudgetStoreUnavailableError):
        await _many(ledger)
    await room(100_000)
    await _back(ledger, "after")
    proof = await verify(ledger.database)
    await ledger.close()
    assert proof.findings == ()


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    ledger = SqlLedger(Database(f"{tmp_path}/no/such/folder/books.db"))
    await _refused(ledger, "n")
    await ledger.close()


async def test_a_mistake_of_ours_is_not_taken_for_an_outage(url: str) -> None:
    database = Database(url)
    with pytest.raises(DBAPIError):
        await database.write(lambda conn: conn.execute(text("SELECT nothing FROM nowhere")))
    await database.close()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:"])
def test_other_addresses_are_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match=r"ledger in"):
        address(url)


async def test_a_power_cut_loses_nothing_by_default(tmp_path: Path) -> None:
    database = Database(f"{tmp_path}/books.db")
    read = await database.write(
        lambda conn: [conn.execute(text(f"PRAGMA {name}")).scalar() for name in ("synchronous", "journal_mode")]
    )
    await database.close()
    assert read == [2, "wal"]


@pytest.mark.parametrize("reading", [False, True])
async def test_what_went_wrong_leaves_nothing_open_for_the_next_transaction(tmp_path: Path, reading: bool) -> None:
    url = f"sqlite:///{tmp_path}/books.db"
    await migrate(url)
    database, other = Database(url), Database(url, wait_s=0.2)
    run: Callable[[Callable[[Connection], object]], Awaitable[object]] = database.read if reading else database.write

    def broken(conn: Connection) -> None:
        conn.execute(text("INSERT INTO requests VALUES ('t', 'q', 'n', 'r')"))
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        await run(broken)
    count = text("SELECT count(*) FROM requests")
    assert await run(lambda conn: conn.execute(count).scalar_one()) == 0
    # Nobody holds the lock, nor an old view.
    await other.write(lambda conn: conn.execute(text("INSERT INTO requests VALUES ('t', 'q', 'n', 'r')")))
    assert await run(lambda conn: conn.execute(count).scalar_one()) == 1
    await database.close()
    await other.close()
    assert os.listdir(tmp_path) == ["books.db"]  # no connection is left, so its journal is gone


async def test_a_long_look_does_not_keep_a_database_from_being_closed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'books.db'}")
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    looking = asyncio.create_task(database.read(lambda conn: conn.execute(endless).scalar()))
    await asyncio.sleep(0.3)
    assert not looking.done()
    looking.cancel()
    await asyncio.wait_for(asyncio.to_thread(asyncio.run, database.close()), 5)


async def test_neither_does_one_that_is_between_two_of_its_statements(tmp_path: Path) -> None:
    database, until, between = Database(f"sqlite:///{tmp_path / 'books.db'}"), time.monotonic() + 20, threading.Event()
    some = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT count(*) FROM n"
    )

    def look(conn: Connection) -> None:
        while time.monotonic() < until:
            conn.execute(some).scalar()
            between.set()
            time.sleep(0.2)  # adding up what it read

    looking = asyncio.create_task(database.read(look))
    await asyncio.to_thread(between.wait)
    begun = time.monotonic()
    await database.close()
    assert time.monotonic() - begun < 5
    with pytest.raises(DBAPIError, match="interrupted"):
        await looking
