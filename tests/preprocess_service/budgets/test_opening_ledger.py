"""Which ledger the service opens, and which it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from preprocess_service.budgets import opening
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.settings import Settings
from reelgate.rpc.errors import BudgetStoreUnavailableError, NotBuiltError

from .replicas import House


def test_by_default_the_books_lie_in_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REELGATE_PREPROCESS_LEDGER")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().ledger == f"sqlite:///{tmp_path}/reelgate/ledger.db"
    assert Settings().replica != Settings().replica


@pytest.mark.parametrize("ledger", ["", "mysql://host/db", "sqlite:///", "on", "postgres"])
def test_a_ledger_that_cannot_be_is_no_setting(ledger: str) -> None:
    with pytest.raises(ValidationError, match="sqlite:///file"):
        Settings(ledger=ledger)


async def test_a_database_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    file.write_text("this is no database" * 100)
    with pytest.raises(BudgetStoreUnavailableError):
        await opening.keeping(Settings(ledger=f"sqlite:///{file}"))


async def test_events_need_a_database(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory"):
        await opening.keeping(Settings(ledger="memory", events=f"file://{tmp_path}/events"))


async def test_the_ledger_in_memory_answers_no_queries(house: House) -> None:
    async with house.replica(free=True, url="memory") as replica:
        with pytest.raises(NotBuiltError):
            [row async for row in replica.client.usage()]


async def test_what_reads_all_of_the_books_has_a_connection_of_its_own_and_is_closed_with_them(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    kept = await opening.keeping(Settings(ledger=f"sqlite:///{file}"))
    assert kept is not None
    assert isinstance(kept.ledger, SqlLedger)
    # The ledger itself is not asked: what becomes of the sums is no sign that it is down.
    await kept.ledger.database.close()
    assert await kept.ledger.drift() == ()
    for close in kept.also:
        await close()
    await kept.ledger.close()
    assert os.listdir(tmp_path) == ["books.db"], "no connection is left, so its journal is gone"
