"""What the tests of budgets share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from preprocess_service.budgets import opening
from preprocess_service.budgets.ledger import Ledger
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings

from .replicas import House, housed


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """Opened as the service opens it."""
    url = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'books' / 'ledger.db'}"
    keeping = await opening.keeping(Settings(ledger=url, ledger_timeout_ms=20_000))
    assert keeping is not None
    yield keeping.ledger
    await keeping.ledger.close()


@pytest.fixture
async def house(ledger: Ledger, line: Line) -> AsyncIterator[House]:
    async with housed(ledger, line) as each:
        yield each
