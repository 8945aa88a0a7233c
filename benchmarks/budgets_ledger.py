"""What reserving and settling cost by themselves, on SQLite and on PostgreSQL, each as durable as in service."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.postgres import running
from benchmarks.report import Goal, close
from preprocess_service.budgets.core import ANYBODY, Amount, Ask, Bill, Budget, Cause, Filed, Limit, Price, Window
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.sql import SqlLedger

NOON = 1_764_072_000_000
WARM = 50
BUDGET = Budget(
    limits=tuple(Limit(window=w, tokens=10**12, device_ms=10**12, carry_over=w is Window.DAY) for w in Window)
)
PRICE = Price(version="1", tokens_micros=2_000, device_micros=900, prepare_micros=50)


async def pairs(url: str, count: int, *, synchronous: str = "FULL") -> list[float]:
    """Milliseconds of each reserve + settle, one after the other, with limits in every window and a request id."""
    await migrate(url)
    ledger = SqlLedger(Database(url, synchronous=synchronous), outbox=True)
    filed, took = Filed(), []
    await ledger.set_budget(ANYBODY, BUDGET, by="benchmark", at_ms=NOON)
    amount, used = Amount(tokens=64, device_ms=20_000), Amount(tokens=64, device_ms=18_000)
    bill = Bill(cause=Cause.DONE, due=used, measured=used)
    for number in range(WARM + count):
        at = NOON + number * 100
        ask = Ask(tenant="t", name=f"takes/{number}", run="1", amount=amount, at_ms=at, request_id=f"q{number}")
        began = time.perf_counter()
        decision = await ledger.reserve(ask, filed)
        ended = await ledger.settle(ask.name, "1", bill, PRICE, filed, at)
        took.append((time.perf_counter() - began) * 1000)
        assert decision.fresh
        assert ended is not None
        assert ended.charged == used
    await ledger.close()
    return sorted(took[WARM:])


def rows(*, quick: bool = False) -> list[Goal]:
    count = 300 if quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        lite = asyncio.run(pairs(f"{Path(folder)}/full.db", count))
        normal = asyncio.run(pairs(f"{Path(folder)}/normal.db", count, synchronous="NORMAL"))
    _print("SQLite, synchronous FULL", lite)
    _print("SQLite, synchronous NORMAL (may lose the last calls to a power cut)", normal)
    goals = [Goal(name="reserve + settle on SQLite, p50", value=_mid(lite), compare="<=", target=3, unit=" ms")]
    try:
        with running(()) as server:
            post = asyncio.run(pairs(server.url(), count))
    except RuntimeError as error:
        why, value = str(error), None
    else:
        _print("PostgreSQL, fsync on", post)
        why, value = "", _mid(post)
    goals.append(
        Goal(name="reserve + settle on PostgreSQL, p50", value=value, compare="<=", target=5, unit=" ms", why=why)
    )
    return goals


def _mid(took: list[float]) -> float:
    return statistics.median(took)


def _print(name: str, took: list[float]) -> None:
    p95 = took[len(took) * 95 // 100]
    print(f"{name}: least {took[0]:.2f} ms, p50 {_mid(took):.2f}, p95 {p95:.2f}, of {len(took)}")


if __name__ == "__main__":
    sys.exit(close(rows(quick="--quick" in sys.argv)))
