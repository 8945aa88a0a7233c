"""What the tests of budgets share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from preprocess_service.budgets.ledger import Ledger
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.pipeline import Line

from .replicas import House, housed


@pytest.fixture
def ledger() -> Ledger:
    return MemoryLedger()


@pytest.fixture
async def house(ledger: Ledger, line: Line) -> AsyncIterator[House]:
    async with housed(ledger, line) as each:
        yield each
