"""What the tests of the client and of the command share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.reelgate.gate import Gate, gated


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with gated() as each:
        yield each
