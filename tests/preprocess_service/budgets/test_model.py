"""Short random histories, crashes among them, of the ledger in SQL beside the one in memory; thousands: benchmarks/ledger_model.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.ledger_machine import LedgerMachine
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.migrations import migrate


@pytest.mark.parametrize(("kind", "histories"), [("sqlite", 150), ("postgres", 60)])
def test_the_books_are_those_of_the_memory_whatever_crashes(
    kind: str, histories: int, new_url: Callable[[str], str]
) -> None:
    url = new_url(kind)
    with asyncio.Runner() as runner:
        runner.run(migrate(url))
        # Without waiting for the disk: no machine is stopped here.
        database = Database(url, synchronous="OFF")
        LedgerMachine.use(runner, database)
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                LedgerMachine,
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=12,
                    deadline=None,
                    derandomize=True,  # the counts below are of these histories; new ones are the benchmark's
                    database=None,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())
    assert LedgerMachine.crashes > histories / 20
    assert LedgerMachine.unknown > 0 or kind == "postgres"
