"""Ledgers of each kind, on real databases."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from preprocess_service.budgets import opening
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.ledger import Ledger
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings

from .postgres_server import PostgresServer, programs, running
from .replicas import House, housed

KINDS = ["sqlite", "postgres"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here")
    with running() as server:
        yield server


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The address of an empty database of a kind."""
    numbers = itertools.count()

    def made(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/books{next(numbers)}.db"
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.url()

    return made


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    return new_url(request.param)


@pytest.fixture
async def url(empty_url: str) -> str:
    """One with the tables in it."""
    await migrate(empty_url)
    return empty_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.fixture
def books(database: Database) -> SqlLedger:
    return SqlLedger(database)


@pytest.fixture(params=["memory", *KINDS])
async def ledger(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> AsyncIterator[Ledger]:
    """Every kind, the one in memory too."""
    if request.param == "memory":
        yield MemoryLedger()
        return
    url = new_url(request.param)
    await migrate(url)
    opened = SqlLedger(Database(url))
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "sqlite"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger as the service opens it."""
    url = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'books' / 'ledger.db'}"
    keeping = await opening.keeping(Settings(ledger=url, ledger_timeout_ms=20_000))
    assert keeping is not None
    yield keeping.ledger
    await keeping.ledger.close()


@pytest.fixture
async def house(kept: Ledger, line: Line) -> AsyncIterator[House]:
    async with housed(kept, line) as each:
        yield each
