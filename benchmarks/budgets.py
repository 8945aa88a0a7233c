"""Budgets that hold: a crowd on replicas that are killed, what they cost a call, the ledger's own cost, its reports and its outages.

    python benchmarks/budgets.py [--quick] [--only gate,ledger,usage,crowd,sqlite,time,outage]

The counts of the goals are full ones without ``--quick``. A real PostgreSQL with its own defaults is started for it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import budgets_gate, budgets_ledger, budgets_outage, budgets_replicas, budgets_usage
from benchmarks.postgres import running
from benchmarks.report import Goal, close


def crowd(*, quick: bool) -> list[Goal]:
    clients, fits, kills = (60, 24, 2) if quick else (1000, 400, 6)
    with running(()) as database:
        wanted = {"replicas": 3, "clients": clients, "fits": fits, "kills": kills}
        return asyncio.run(budgets_replicas.rows_on(database.url(), "PostgreSQL", **wanted, by_time=False))


def time_limit(*, quick: bool) -> list[Goal]:
    """The limit is of device time: what is held is more than what is charged, so the budget opens again."""
    clients, fits, kills = (40, 10, 1) if quick else (300, 60, 3)
    with running(()) as database:
        wanted = {"replicas": 3, "clients": clients, "fits": fits, "kills": kills}
        return asyncio.run(budgets_replicas.rows_on(database.url(), "PostgreSQL, device time", **wanted, by_time=True))


def sqlite(*, quick: bool) -> list[Goal]:
    clients, fits, kills = (60, 24, 1) if quick else (1000, 400, 3)
    return budgets_replicas.on_sqlite(name="SQLite", clients=clients, fits=fits, kills=kills, by_time=False)


def gate(*, quick: bool) -> list[Goal]:
    return budgets_gate.rows(quick=quick)


def ledger(*, quick: bool) -> list[Goal]:
    return budgets_ledger.rows(quick=quick)


def usage(*, quick: bool) -> list[Goal]:
    return budgets_usage.rows(quick=quick)


def outage(*, quick: bool) -> list[Goal]:
    # Each call of the load takes 8 tokens: a slice is spent before the ledger is back, so that its end is seen too.
    return budgets_outage.rows(*((5, 40) if quick else (20, 200)))


PARTS: dict[str, Callable[..., list[Goal]]] = {
    "gate": gate,
    "ledger": ledger,
    "usage": usage,
    "crowd": crowd,
    "sqlite": sqlite,
    "time": time_limit,
    "outage": outage,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few of each: a check that it works")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    options = parser.parse_args()
    goals: list[Goal] = []
    for part in options.only.split(","):
        goals += PARTS[part](quick=options.quick)
    return close(goals)


if __name__ == "__main__":
    sys.exit(main())
