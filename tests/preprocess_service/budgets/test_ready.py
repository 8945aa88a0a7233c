"""Changes as text: parameters in their places, several in one statement, and few round trips for a reservation and its settlement."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import PickleType, bindparam, event, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg

from preprocess_service.budgets.core import Budget, Limit, Window
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.ready import Ready, joined
from preprocess_service.budgets.schema import requests
from preprocess_service.budgets.sql import SqlLedger

from .values import FILED, NOON, PRICE, ask, bill

RENAME = (
    update(requests).where(requests.c.tenant == bindparam("who")).values(name=bindparam("to"), run="r1", request_id="q")
)


class Counted:
    """Statements that were sent since it was made."""

    def __init__(self, database: Database) -> None:
        self.texts: list[str] = []
        event.listen(database.engine, "before_cursor_execute", self._sent)

    def _sent(self, conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        self.texts.append(statement)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), asyncpg.dialect()])
def test_values_stand_in_the_order_of_the_text_with_those_of_the_statement_itself(dialect: Any) -> None:
    ready = Ready(RENAME, dialect)
    values = ready.values({"to": "new", "who": "acme", "unused": 1})
    assert sorted(values) == ["acme", "new", "q", "r1"]
    places = [ready.text.index(f"{column}=") for column in ("request_id", "name", "run")]
    assert [values[:3][sorted(places).index(place)] for place in places] == ["q", "new", "r1"]
    assert values[3] == "acme"


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        Ready(RENAME, sqlite.dialect()).values({"who": "acme"})


def test_joined_statements_count_their_parameters_on() -> None:
    part = Ready(RENAME, asyncpg.dialect())
    text = joined((part, part, part))
    assert text.startswith("WITH part0 AS (UPDATE requests")
    assert [text.count(f"${number}::") for number in range(1, 13)] == [1] * 12
    assert "$13" not in text
    assert joined((part,)) == part.text


async def test_a_call_takes_few_statements(database: Database) -> None:
    ledger = SqlLedger(database, outbox=True)
    limits = tuple(Limit(window=window, tokens=1000, device_ms=10**9, carry_over=True) for window in Window)
    await ledger.set_budget("a", Budget(limits=limits), by="test", at_ms=NOON)
    one, other = ask("first", request_id="q1"), ask("second", request_id="q2")
    await ledger.reserve(one, FILED)  # reads the budget once
    counted = Counted(database)
    await ledger.reserve(other, FILED)
    reserved, counted.texts = len(counted.texts), []
    await ledger.settle(other.name, other.run, bill(), PRICE, FILED, NOON)
    # The tenant's row and a look; then on PostgreSQL all changes at once, on SQLite one by one.
    assert (reserved, len(counted.texts)) == ((3, 3) if database.kind == "postgresql" else (6, 7))
    assert await ledger.drift() == ()


@pytest.mark.parametrize("dialect", [sqlite.dialect(), asyncpg.dialect()])
def test_what_would_have_to_be_converted_is_refused(dialect: Any) -> None:
    with pytest.raises(ValueError, match="when"):
        Ready(update(requests).values(name=bindparam("when", type_=PickleType())), dialect)
