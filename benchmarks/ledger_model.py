"""Thousands of random histories of the ledger, with crashes between any two statements, beside the one in memory.

python -m benchmarks.ledger_model [--quick]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.ledger_machine import LedgerMachine
from benchmarks.postgres import running
from benchmarks.report import Goal, close
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.migrations import migrate

STEPS = 20


def play(url: str, histories: int) -> None:
    """Raises what `hypothesis` found, with the shortest history that shows it."""
    with asyncio.Runner() as runner:
        runner.run(migrate(url))
        database = Database(url, synchronous="OFF")
        LedgerMachine.use(runner, database)
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                LedgerMachine,
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())


def rows(*, quick: bool = False) -> list[Goal]:
    histories, fewer = (100, 10) if quick else (4000, 200)
    with tempfile.TemporaryDirectory() as folder:
        _told("SQLite", f"{Path(folder)}/model.db", histories)
    with running() as server:
        _told("PostgreSQL", server.url(), fewer)
    value = float(histories + fewer)
    return [
        Goal(name="random histories equal to the oracle's", value=value, compare=">=", target=110 if quick else 2000)
    ]


def _told(name: str, url: str, histories: int) -> None:
    began = time.monotonic()
    play(url, histories)
    machine, took = LedgerMachine, time.monotonic() - began
    print(
        f"{name}: {histories} histories, {machine.calls} calls, {machine.crashes} crashes, "
        f"{machine.unknown} of them after the commit, {took:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(close(rows(quick="--quick" in sys.argv)))
