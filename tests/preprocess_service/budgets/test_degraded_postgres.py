"""PostgreSQL is really stopped under replicas that have slices, and a replica is really killed meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Any

import pytest

from preprocess_service.budgets import opening
from preprocess_service.budgets.books import clock
from preprocess_service.budgets.core import Amount, Filed, Limit, Totals, Window
from preprocess_service.budgets.verify import verify
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings
from reelgate import Client
from reelgate.processes import Service
from reelgate.rpc.errors import BudgetStoreUnavailableError

from .postgres_server import PostgresServer, programs, running
from .replicas import House, Replica, housed, until

FITS = 3
"""Videos in a slice."""
LIMIT = 1000
DEVICE_MS = 100_000


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of its own, which waits for the disk: it is stopped as by a crash, and what it answered shall be there afterwards."""
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here")
    with running(()) as server:
        yield server


@pytest.fixture
async def url(server: PostgresServer) -> str:
    return server.url()


@pytest.fixture
async def shared(url: str, line: Line) -> AsyncIterator[House]:
    keeping = await opening.keeping(Settings(ledger=url))
    assert keeping is not None
    async with housed(keeping.ledger, line) as house:
        await house.limit(Limit(window=Window.MONTH, tokens=LIMIT))
        yield house
    await keeping.ledger.close()


def numbered(number: int) -> str:
    """All of one length."""
    return f"A blue ring number {1000 + number} rises."


async def tokens_of(house: House) -> int:
    async with house.replica(free=True) as plain:
        return (await plain.client.prepare(numbered(0))).cost_tokens


async def of_month(house: House) -> Totals:
    return (await house.ledger.standing("local", Filed(), clock())).totals[Window.MONTH]


async def ask(replica: Replica, number: int) -> str:
    try:
        await replica.video(numbered(number))
    except BudgetStoreUnavailableError as error:
        return error.reason
    return "video"


async def whole(house: House, url: str, tokens: int) -> None:
    """Everything ends, charged is ``tokens``, and the books agree with their entries."""

    async def settled() -> bool:
        month = await of_month(house)
        return month.charged.tokens == tokens and not await house.open_holds()

    await until(settled, 30)
    assert await house.ledger.drift() == ()
    assert (await verify(url)).findings == ()
    month = await of_month(house)
    assert month.held.tokens + month.charged.tokens <= LIMIT


async def test_two_replicas_spend_their_slices_and_no_more_while_postgres_is_stopped(
    server: PostgresServer, shared: House, url: str, tmp_path: Path
) -> None:
    tokens = await tokens_of(shared)
    options: dict[str, Any] = {"degraded_tokens": FITS * tokens + 1, "degraded_device_ms": DEVICE_MS, "grace_s": 2.0}
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(
                shared.replica(free=True, url=url, degraded_folder=tmp_path, ledger_timeout_ms=500, **options)
            )
            for _ in range(2)
        ]
        for number, replica in enumerate(replicas):
            assert await ask(replica, number) == "video"

        async def leased() -> bool:
            return (await of_month(shared)).held == Amount(tokens=2 * (FITS * tokens + 1), device_ms=2 * DEVICE_MS)

        await until(leased)
        await asyncio.to_thread(server.stop)
        came = Counter(await asyncio.gather(*(ask(replicas[number % 2], 10 + number) for number in range(16))))
        assert came == {"video": 2 * FITS, "BUDGET_STORE_UNAVAILABLE": 16 - 2 * FITS}
        await asyncio.to_thread(server.start)
        await whole(shared, url, (2 + 2 * FITS) * tokens)
        await until(leased)  # slices are whole again
        assert await ask(replicas[0], 50) == "video"
    assert (await of_month(shared)).held == Amount()


async def test_a_replica_that_is_killed_while_postgres_is_stopped_books_its_grants_when_it_is_back(
    server: PostgresServer, shared: House, url: str, tmp_path: Path
) -> None:
    tokens = await tokens_of(shared)
    environment = {
        "REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0",
        "REELGATE_PREPROCESS_GENERATOR": f"127.0.0.1:{shared.server.port}",
        "REELGATE_PREPROCESS_LEDGER": url,
        "REELGATE_PREPROCESS_LEDGER_TIMEOUT_MS": "500",
        "REELGATE_PREPROCESS_RECONCILE_SECONDS": "0.1",
        "REELGATE_PREPROCESS_HOLD_GRACE_SECONDS": "2",
        "REELGATE_PREPROCESS_DEGRADED_TOKENS": str(FITS * tokens),
        "REELGATE_PREPROCESS_DEGRADED_DEVICE_MS": str(DEVICE_MS),
        "REELGATE_PREPROCESS_DEGRADED_FOLDER": str(tmp_path / "journal"),
    }
    with _log(tmp_path) as log:
        gate = await _started(environment, log)
        async with Client(gate.address) as client:
            assert await _made(client, 0)

            async def leased() -> bool:
                return (await of_month(shared)).held.tokens == FITS * tokens

            await until(leased)
            await asyncio.to_thread(server.stop)
            assert [await _made(client, 1 + number) for number in range(FITS + 1)] == [True] * FITS + [False]
        gate.kill()
        await gate.ended()
        await asyncio.to_thread(server.start)
        again = await _started(environment, log)
        await whole(shared, url, (1 + FITS) * tokens)
        await again.stop()
    assert (await of_month(shared)).held == Amount()


def _log(folder: Path) -> IO[bytes]:
    return (folder / "log").open("wb")


async def _started(environment: dict[str, str], log: IO[bytes]) -> Service:
    gate = Service("preprocess_service", environment, log)
    await gate.start()
    await gate.ready()
    return gate


async def _made(client: Client, number: int) -> bool:
    """Whether there was a video; else the ledger was down."""
    try:
        async for _ in client.generate(numbered(number), timeout=20):
            pass
    except BudgetStoreUnavailableError:
        return False
    return True
