"""Of all windows those come back that are not what their holds and entries add up to."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, delete, update

from preprocess_service.budgets import calendar
from preprocess_service.budgets.core import COUNTED, Amount, Window
from preprocess_service.budgets.schema import entries, holds, windows
from preprocess_service.budgets.sql import SqlLedger

from .values import FILED, NOON, PRICE, ask, bill

MONTH = 31 * calendar.DAY_MS


@pytest.fixture
async def used(books: SqlLedger) -> SqlLedger:
    """Two tenants over three months, holds that ended and holds that are open."""
    for number, at in enumerate((NOON, NOON + 61_000, NOON + calendar.DAY_MS, NOON + MONTH, NOON + 2 * MONTH)):
        for tenant in ("a", "b"):
            name = f"{tenant}{number}"
            await books.reserve(ask(name, tenant=tenant, at_ms=at), FILED)
            if number % 2:
                await books.settle(name, "r", bill(device_ms=200), PRICE, FILED, at)
            else:
                await books.extend(name, "r", Amount(tokens=11, device_ms=120), FILED, at)
    return books


async def change(books: SqlLedger, statement: Any) -> None:
    def body(conn: Connection) -> None:
        assert conn.execute(statement).rowcount == 1

    await books.database.write(body)


async def test_honest_books_have_no_drift(used: SqlLedger) -> None:
    assert await used.drift() == ()


@pytest.mark.parametrize("window", COUNTED)
async def test_a_total_that_was_changed_is_the_one_that_is_named(used: SqlLedger, window: Window) -> None:
    start = calendar.start(window, NOON + MONTH)
    mine = (windows.c.tenant == "b") & (windows.c.window == window.value) & (windows.c.start_ms == start)
    await change(used, update(windows).where(mine).values(charged_ms=windows.c.charged_ms + 1))
    (drift,) = await used.drift()
    assert (drift.tenant, drift.window, drift.start_ms) == ("b", window, start)
    assert drift.kept != drift.counted
    await change(used, delete(windows).where(mine))
    assert [(each.tenant, each.window, each.start_ms) for each in await used.drift()] == [("b", window, start)]


@pytest.mark.parametrize("source", [holds, entries], ids=["hold", "entry"])
async def test_a_hold_or_an_entry_that_is_gone_is_missed_in_its_three_windows(used: SqlLedger, source: Any) -> None:
    await change(
        used, delete(source).where(source.c.name == "a0", *([source.c.kind == "extend"] if source is entries else []))
    )
    found = {(each.tenant, each.window): each.start_ms for each in await used.drift()}
    assert found == {("a", window): calendar.start(window, NOON) for window in COUNTED}
