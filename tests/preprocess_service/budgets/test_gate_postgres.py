"""Several replicas, each with its own connections to one PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack

from preprocess_service.budgets import opening
from preprocess_service.budgets.core import Amount, Limit, Window
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings
from reelgate import values as v
from reelgate.rpc.errors import ReelgateError, TokenBudgetExhaustedError

from .postgres_server import PostgresServer
from .replicas import Replica, housed, until

FITS = 12
ASKED = 40


async def test_three_replicas_spend_what_there_is_and_no_token_more(postgres: PostgresServer, line: Line) -> None:
    """Each request twice at once, by the same id, at two replicas; one replica goes away in the midst."""
    url = postgres.url()
    keeping = await opening.keeping(Settings(ledger=url))
    assert keeping is not None
    async with housed(keeping.ledger, line) as house, AsyncExitStack() as stack:
        house.twin.step_ms = 1
        replicas = [await stack.enter_async_context(house.replica(free=True, url=url)) for _ in range(2)]
        async with house.replica(free=True, url=url) as third:
            tokens = (await third.client.prepare(prompt(0))).cost_tokens
            await house.limit(Limit(window=Window.MONTH, tokens=tokens * FITS))
            turns = itertools.cycle([*replicas, third])
            asked = [asyncio.create_task(ask(next(turns), number)) for number in range(ASKED) for _ in range(2)]
            await until(lambda: sum(task.done() for task in asked) >= 10)
        await asyncio.gather(*asked)
        # Whoever was cut off, or refused while others held what they then did not need, asks again.
        again = [await ask(replica, number) for number, replica in zip(range(ASKED), itertools.cycle(replicas))]

        async def none_open() -> bool:
            return not await house.open_holds()

        await until(none_open)
        books = await house.books()
        assert (books.held, books.overrun) == (Amount(), Amount())
        assert books.charged.tokens == tokens * FITS
        assert Counter(again)["done"] == FITS
        assert len(house.twin.runs) == FITS
    await keeping.ledger.close()


def prompt(number: int) -> str:
    """All of one length."""
    return f"A red ball number {1000 + number} rolls."


async def ask(replica: Replica, number: int) -> str:
    """What came of it."""
    try:
        video = await replica.video(prompt(number), request_id=f"request {number}")
    except TokenBudgetExhaustedError:
        return "refused"
    except (ReelgateError, asyncio.CancelledError):
        return "cut off"
    assert video.state is v.State.DONE
    assert video.bill is None or video.bill.cause == "done"
    return "done"
