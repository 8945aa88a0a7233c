"""The service makes its books as its settings say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from preprocess_service.budgets import opening
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings
from reelgate.rpc.errors import BudgetStoreUnavailableError, NotBuiltError

from .replicas import PROMPT, House, until

TABLE = """
versions:
  - {version: "1", from: 2020-01-01T00:00:00Z, currency: USD, per_1000_tokens: "0.5", per_device_second: {default: "0.001"}}
"""


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
    with pytest.raises(ValueError, match="EVENTS"):
        await opening.keeping(Settings(ledger="memory", events=f"file://{tmp_path}/events"))
    with pytest.raises(ValueError, match="events go to"):
        await opening.keeping(Settings(ledger=f"sqlite:///{tmp_path}/x.db", events="ftp://host"))


async def test_prices_usage_and_events_are_there_where_they_are_set(line: Line, tmp_path: Path, house: House) -> None:
    table, events = tmp_path / "prices.yaml", tmp_path / "events.jsonl"
    table.write_text(TABLE)
    url = f"sqlite:///{tmp_path}/own.db"
    async with house.replica(free=True, url=url, prices=table, events=f"file://{events}") as replica:
        bill = (await replica.video()).bill
        assert bill is not None
        assert bill.price is not None
        assert bill.price.micros == bill.tokens * 500 + 320
        priced = (await replica.client.prepare(PROMPT)).price
        assert priced is not None
        assert priced.micros == bill.tokens * 500 + 2000
        (row,) = [row async for row in replica.client.usage()]
        assert (row.requests, row.tokens, row.device_ms) == (1, bill.tokens, 320)
        assert row.tokens_micros + row.device_micros == bill.price.micros
        await until(events.exists)
    (event,) = map(json.loads, events.read_text().splitlines())
    assert event["specversion"] == "1.0"


async def test_the_ledger_in_memory_answers_no_queries(house: House) -> None:
    async with house.replica(free=True, url="memory") as replica:
        with pytest.raises(NotBuiltError):
            [row async for row in replica.client.usage()]
