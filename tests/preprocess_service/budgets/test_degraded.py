"""The service itself while the ledger is down: what it serves out of a slice, what clients see of it, and what they pay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from preprocess_service.budgets.core import Amount, Limit, Window
from reelgate import values as v
from reelgate.rpc.errors import BudgetStoreUnavailableError, PromptTokensExceededError, RateLimitedError

from .replicas import NEVER_S, OTHER, PROMPT, House, Replica, journals, until


@asynccontextmanager
async def served(house: House, folder: Path, tokens: int, **options: Any) -> AsyncIterator[Replica]:
    """A replica of the service that has its slice."""
    options = {"degraded_tokens": tokens, "degraded_device_ms": 100_000, "degraded_folder": folder} | options
    async with house.replica(**options) as replica:
        await replica.video()
        assert replica.app.budgets is not None
        slices = replica.app.budgets.books.slices
        if slices is not None:
            await until(lambda: slices.open)
        yield replica


async def tokens_of(replica: Replica, prompt: str) -> int:
    return (await replica.client.prepare(prompt)).cost_tokens


def numbered(number: int) -> str:
    """All of one length."""
    return f"A blue ring number {1000 + number} rises."


async def test_without_the_setting_nothing_is_served_while_the_ledger_is_down(house: House, tmp_path: Path) -> None:
    async with served(house, tmp_path, 0, degraded_device_ms=0) as replica:
        replica.books.down = True
        with pytest.raises(BudgetStoreUnavailableError):
            await replica.generate(OTHER)
        assert not journals(tmp_path)


async def test_a_folder_that_cannot_be_written_is_refused_with_a_way_out(house: House, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="set REELGATE_PREPROCESS_DEGRADED_FOLDER to a folder"):
        async with served(house, tmp_path / "file", 10):
            pass


async def test_the_service_serves_its_slice_says_so_and_settles_afterwards(house: House, tmp_path: Path) -> None:
    async with house.replica() as plain:
        tokens = await tokens_of(plain, numbered(0))
    async with served(house, tmp_path, 3 * tokens) as replica:
        before = (await house.books()).charged
        replica.books.down = True
        for number in range(3):
            events = await replica.generate(numbered(number))
            assert isinstance(events[0], v.Prepared)
            assert events[0].budget is not None
            assert (events[0].budget.allowed, events[0].budget.warnings) == (True, ("degraded",))
            assert isinstance(events[-1], v.Video)
            assert events[-1].bill is None  # it is not settled yet
        with pytest.raises(BudgetStoreUnavailableError):
            await replica.generate(numbered(3))
        replica.books.down = False

        async def settled() -> bool:
            return (await house.books()).charged.tokens == before.tokens + 3 * tokens

        await until(settled)
        assert (await house.books()).charged.device_ms == before.device_ms + 3 * 320
        assert not await house.open_holds()
        assert (await replica.video(numbered(3))).bill is not None
    assert (await house.books()).held == Amount()
    assert not journals(tmp_path)


async def test_a_stream_that_outlives_the_outage_gets_its_bill(house: House, tmp_path: Path) -> None:
    async with served(house, tmp_path, 1000) as replica:
        house.twin.hold.clear()
        replica.books.down = True
        making = asyncio.create_task(replica.video(OTHER))
        await until(lambda: len(house.twin.runs) == 2)
        replica.books.down = False
        house.twin.hold.set()
        bill = (await making).bill
        assert bill is not None
        assert (bill.cause, bill.device_ms, bill.overrun_device_ms) == ("done", 320, 0)
        assert not await house.open_holds()


async def test_who_joins_a_run_of_this_replica_while_it_is_degraded_pays_nothing(house: House, tmp_path: Path) -> None:
    async with served(house, tmp_path, 1000) as replica:
        before = (await house.books()).charged.tokens
        tokens = await tokens_of(replica, OTHER)
        house.twin.hold.clear()
        replica.books.down = True
        both = [asyncio.create_task(replica.video(OTHER)) for _ in range(2)]
        await until(lambda: len(house.twin.asked) == 3)
        house.twin.hold.set()
        await asyncio.gather(*both)
        replica.books.down = False

        async def settled() -> bool:
            return (await house.books()).charged.tokens == before + tokens

        await until(settled)
        assert not await house.open_holds()


async def test_who_joins_a_run_that_the_ledger_knows_of_pays_nothing(house: House, tmp_path: Path) -> None:
    async with served(house, tmp_path, 1000) as replica, house.replica(every_s=NEVER_S) as other:
        before = (await house.books()).charged.tokens
        tokens = await tokens_of(replica, OTHER)
        house.twin.hold.clear()
        first = asyncio.create_task(other.video(OTHER))
        await until(lambda: len(house.twin.runs) == 2)
        replica.books.down = True
        second = asyncio.create_task(replica.video(OTHER))
        await until(lambda: len(house.twin.asked) == 3)
        house.twin.hold.set()
        await asyncio.gather(first, second)
        replica.books.down = False
        assert replica.app.budgets is not None
        slices = replica.app.budgets.books.slices
        assert slices is not None
        await until(lambda: not slices.grants)
        assert (await house.books()).charged.tokens == before + tokens
        assert not await house.open_holds()


async def test_what_a_request_may_have_is_refused_by_its_own_reason_while_the_ledger_is_down(
    house: House, tmp_path: Path
) -> None:
    async with house.replica() as plain:
        tokens = await tokens_of(plain, PROMPT)
    await house.limit(Limit(window=Window.REQUEST, tokens=tokens), concurrent=1)
    async with served(house, tmp_path, 1000) as replica:
        replica.books.down = True
        with pytest.raises(PromptTokensExceededError):
            await replica.generate("A red ball, a blue ring, a green star and a white square rise and fall and turn.")
        house.twin.hold.clear()
        first = asyncio.create_task(replica.video(OTHER))
        await until(lambda: len(house.twin.asked) == 2)
        with pytest.raises(RateLimitedError):
            await replica.generate("A red ring rises.")
        house.twin.hold.set()
        await first
        replica.books.down = False


async def test_who_joins_a_run_of_the_slice_pays_nothing_when_the_ledger_is_back_meanwhile(
    house: House, tmp_path: Path
) -> None:
    async with served(house, tmp_path, 100) as replica:
        tokens = await tokens_of(replica, OTHER)
        before, asked = await house.books(), len(house.twin.asked)
        replica.books.down = True
        house.twin.door.clear()
        both = [asyncio.create_task(replica.video(OTHER, request_id=id_)) for id_ in ("r1", "r2")]
        await until(lambda: len(house.twin.asked) == asked + 2)
        replica.books.down = False
        house.twin.door.set()
        bills = [(await each).bill for each in both]
        assert sorted(bill.cause for bill in bills if bill) == ["done", "joined"]
        assert (await house.books()).charged.tokens == before.charged.tokens + tokens
