"""Two replicas, a hundred callers, room for twenty."""

from __future__ import annotations

import asyncio

from preprocess_service.budgets.core import Window
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.budgets.verify import verify

from .values import FILED, NOON, PRICE, ask, bill, limited


async def test_exactly_as_many_are_let_in_as_fit(url: str) -> None:
    replicas = [SqlLedger(Database(url)), SqlLedger(Database(url))]
    await replicas[0].set_budget("a", limited(200), by="t", at_ms=NOON)
    decisions = await asyncio.gather(
        *(replicas[number % 2].reserve(ask(f"n{number}", at_ms=NOON + number), FILED) for number in range(100))
    )
    held = [decision.hold for decision in decisions if decision.hold is not None]
    ends = [
        replicas[number % 2].settle(hold.name, "r", bill(tokens=30), PRICE, FILED, NOON)
        for number, hold in enumerate(held)
    ]
    await asyncio.gather(*ends)
    day = (await replicas[1].standing("a", FILED, NOON)).totals[Window.DAY]
    proof = await verify(replicas[0].database)
    for replica in replicas:
        await replica.close()
    assert len(held) == 20
    assert (day.held.tokens, day.charged.tokens, day.overrun.tokens) == (0, 200, 400)
    assert proof.findings == ()


async def test_what_one_replica_sets_the_other_obeys_at_once(url: str) -> None:
    one, two = SqlLedger(Database(url)), SqlLedger(Database(url))
    try:
        assert (await two.reserve(ask("n1"), FILED)).fresh
        await one.set_budget("*", limited(15), by="t", at_ms=NOON)
        assert (await two.reserve(ask("n2"), FILED)).hold is None
        await one.set_budget("a", limited(50), by="t", at_ms=NOON)
        assert (await two.reserve(ask("n2"), FILED)).fresh
    finally:
        await one.close()
        await two.close()


async def test_replicas_share_the_holds_that_nobody_looks_after(url: str) -> None:
    replicas = [SqlLedger(Database(url)), SqlLedger(Database(url))]
    for number in range(30):
        await replicas[0].reserve(ask(f"n{number}"), FILED)
    claimed = await asyncio.gather(
        *(replicas[n % 2].claim(f"r{n}", at_ms=NOON, for_ms=1000, most=10) for n in range(6))
    )
    for replica in replicas:
        await replica.close()
    names = [hold.name for part in claimed for hold in part]
    assert len(names) == len(set(names))
    assert max(map(len, claimed)) <= 10
