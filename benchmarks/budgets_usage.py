"""A month's usage by tenant out of a ledger with a million entries, on SQLite and on PostgreSQL.

    python -m benchmarks.budgets_usage [--quick]

The answer is `UsageQueries.query`'s, messages included. Beside it: the same sums from the raw entries, which must come to the same.
"cold": a new connection after the database's files were dropped from the page cache, and PostgreSQL restarted. Device under test is the
disk and one core of this machine; PostgreSQL runs with fsync off, which reading does not feel.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, Insert, Select, func, insert, literal, select, text

from benchmarks.postgres import PostgresServer, running
from benchmarks.report import Goal, close
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.schema import entries, metadata, usage
from preprocess_service.budgets.usage import UsageQueries
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.identity import Identity
from tests.preprocess_service.budgets.stores import HOUR, JANUARY

ENTRIES, QUICK = 1_000_000, 50_000
TENANTS, HOURS, TIERS, POLICIES = 50, 31 * 24, ("full", "draft"), ("economy", "balanced")
CHUNK = 10_000
AGAIN = 15
WAIT_S = 600.0
GOAL_MS = 200.0
ADMIN = Identity(tenant="ops", roles=frozenset({"admin"}))
FIGURES = ("tokens_saved", "saved_ms", "prepare_us", "tokens_micros", "device_micros", "prepare_micros")


def made(count: int) -> Iterator[dict[str, Any]]:
    """Pairs of a reservation and its settlement. A tenant's share falls with its number, as among real ones."""
    chance = random.Random(7)
    seqs = dict.fromkeys(range(TENANTS), 0)
    weights = [1 / (1 + k) for k in range(TENANTS)]
    for k in range(count // 2):
        (tenant,) = chance.choices(range(TENANTS), weights)
        at = JANUARY + HOURS * HOUR * k // (count // 2) + chance.randrange(1000)
        tokens, ms = chance.randrange(8, 65), chance.randrange(500, 90_000)
        shared = {
            "tenant": f"tenant-{tenant:02d}",
            "name": f"videos/{k:064x}",
            "run": f"{k:032x}",
            "reserved_ms": at,
            "tier": chance.choice(TIERS),
            "policy": chance.choice(POLICIES),
        }
        blank = dict.fromkeys(("charged_tokens", "charged_ms", *FIGURES), 0)
        seqs[tenant] += 1
        yield blank | shared | {
            "seq": seqs[tenant], "at_ms": at, "kind": "reserve", "held_tokens": tokens, "held_ms": ms,
            "cause": "", "currency": "", "price_version": "",
        }  # fmt: skip
        seqs[tenant] += 1
        yield shared | {
            "seq": seqs[tenant], "at_ms": at + ms, "kind": "settle", "held_tokens": -tokens, "held_ms": -ms,
            "charged_tokens": tokens, "charged_ms": ms * 9 // 10, "cause": "done", "currency": "USD",
            "price_version": "1", "tokens_saved": chance.randrange(-8, 200), "saved_ms": 0, "prepare_us": 900,
            "tokens_micros": tokens * 20, "device_micros": ms, "prepare_micros": 1,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Took:
    """Milliseconds. ``warm`` is the median, ``best`` the fastest: what other work on the machine added least to."""

    cold: float
    warm: float
    best: float
    raw: float


async def fill(database: Database, count: int) -> int:
    """The entries, and `usage` as they add up; the rows of `usage`."""

    def body(connection: Connection) -> None:
        metadata.create_all(connection)
        rows = made(count)
        while chunk := list(islice(rows, CHUNK)):
            connection.execute(insert(entries), chunk)
        connection.execute(rolled())

    await database.write(body)
    for then in ("ANALYZE", "CHECKPOINT") if database.kind == "postgresql" else ("ANALYZE",):
        await database.write(lambda connection, then=then: connection.execute(text(then)))  # type: ignore[misc]
    counted = select(func.count()).select_from(usage)
    return int(await database.read(lambda connection: connection.execute(counted).scalar_one()))


def rolled() -> Insert:
    """`usage`, as the ledger writes it with each settlement: hour after hour."""
    hour = entries.c.reserved_ms - entries.c.reserved_ms % literal(HOUR, literal_execute=True)
    keys = [entries.c.tenant, hour, entries.c.tier, entries.c.policy, entries.c.currency]
    sums = {
        "requests": func.count(),
        "done": func.count(),
        "tokens": func.sum(entries.c.charged_tokens),
        "device_ms": func.sum(entries.c.charged_ms),
        **{name: func.sum(entries.c[name]) for name in FIGURES},
    }
    found = select(*keys, *sums.values()).where(entries.c.kind == "settle").group_by(*keys).order_by(hour)
    return insert(usage).from_select(["tenant", "hour_ms", "tier", "policy", "currency", *sums], found)


def raw() -> Select[Any]:
    """The same sums from the entries."""
    return (
        select(
            entries.c.tenant,
            entries.c.currency,
            func.count(),
            func.sum(entries.c.charged_tokens),
            func.sum(entries.c.charged_ms),
            *(func.sum(entries.c[name]) for name in FIGURES),
        )
        .where(entries.c.kind == "settle", entries.c.reserved_ms >= JANUARY)
        .where(entries.c.reserved_ms < JANUARY + HOURS * HOUR)
        .group_by(entries.c.tenant, entries.c.currency)
        .order_by(entries.c.tenant)
    )


def request() -> pb.QueryUsageRequest:
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    end.FromDatetime(datetime(2026, 2, 1, tzinfo=UTC))
    return pb.QueryUsageRequest(
        tenant="*", start_time=start, end_time=end, bucket="month", group_by=["tenant"], page_size=1000
    )


async def timed(url: str) -> Took:
    """The first answer on a new connection, those after it, and adding up raw entries."""
    database = Database(url, wait_s=WAIT_S)
    usages, took = UsageQueries(database), []
    for _ in range(1 + AGAIN):
        began = time.perf_counter()
        answer = await usages.query(request(), ADMIN)
        took.append((time.perf_counter() - began) * 1000)
    began = time.perf_counter()
    found = await database.read(lambda connection: connection.execute(raw()).all())
    by_hand = (time.perf_counter() - began) * 1000
    assert [(row[0], int(row[3])) for row in found] == [(row.tenant, row.tokens) for row in answer.rows]
    await database.close()
    return Took(cold=took[0], warm=statistics.median(took[1:]), best=min(took[1:]), raw=by_hand)


def forget(folder: Path) -> None:
    """Take what lies in ``folder`` out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def on_sqlite(count: int) -> tuple[int, Took]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        database = Database(url, wait_s=WAIT_S)
        rows = await fill(database, count)
        await database.close()
        forget(Path(folder))
        return rows, await timed(url)


async def on_postgres(count: int) -> tuple[int, Took]:
    with running() as server:
        url = server.url()
        database = Database(url, wait_s=WAIT_S)
        rows = await fill(database, count)
        await database.close()
        await asyncio.to_thread(restart, server)
        return rows, await timed(url)


def restart(server: PostgresServer) -> None:
    """One that has read nothing yet."""
    server.stop()
    forget(server.data / "base")
    server.start()


def rows(*, quick: bool = False) -> list[Goal]:
    """The goals; the table is printed as it is measured."""
    count, goals = QUICK if quick else ENTRIES, []
    print(f"{count} entries, {count // 2} of them settlements, in one month of {HOURS} hours;")
    print(f"{TENANTS} tenants, {len(TIERS)} tiers, {len(POLICIES)} policies")
    print(
        f"{'':<12}{'usage rows':>12}{'cold ms':>10}{'warm ms':>10}{'best ms':>10}{'raw entries ms':>16}{'raw / warm':>12}"
    )
    for name, measure in (("SQLite", on_sqlite), ("PostgreSQL", on_postgres)):
        found, took = asyncio.run(measure(count))
        times = f"{took.cold:>10.1f}{took.warm:>10.1f}{took.best:>10.1f}{took.raw:>16.1f}{took.raw / took.warm:>12.1f}"
        print(f"{name:<12}{found:>12}{times}", flush=True)
        for kind, value in (("cold", took.cold), ("warm", took.warm)):
            about = f"a month's usage by tenant, {name}, {kind}"
            goals.append(Goal(name=about, value=value, compare="<", target=GOAL_MS, unit=" ms"))
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} entries")
    return close(rows(quick=parser.parse_args().quick))


if __name__ == "__main__":
    sys.exit(main())
