"""Equal work is done once, and nobody who leaves spoils it for the rest."""

import asyncio

import pytest

from preprocess_service.flight import Flights
from reelgate.rpc.errors import QueueFullError


class Work:
    """Counts its runs; each waits for ``go``."""

    def __init__(self) -> None:
        self.runs = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.runs += 1
        self.begun.set()
        await self.go.wait()
        if self.error:
            raise self.error
        return self.runs


async def test_a_stampede_runs_once() -> None:
    flights, work = Flights[int](), Work()
    tasks = [asyncio.create_task(flights.once(b"k", work)) for _ in range(100)]
    await work.begun.wait()
    work.go.set()
    assert await asyncio.gather(*tasks) == [1] * 100
    assert flights.joined == 99
    assert await flights.once(b"k", work) == 2


async def test_a_cancelled_leader_does_not_cancel_the_followers() -> None:
    flights, work = Flights[int](), Work()
    leader = asyncio.create_task(flights.once(b"k", work))
    await work.begun.wait()
    follower = asyncio.create_task(flights.once(b"k", work))
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    work.go.set()
    assert await follower == 1


async def test_each_caller_gets_its_own_copy_of_the_error() -> None:
    flights, work = Flights[int](), Work()
    work.error = QueueFullError("full", retry_after=3)
    tasks = [asyncio.create_task(flights.once(b"k", work)) for _ in range(3)]
    await work.begun.wait()
    work.go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert [(type(e), str(e), e.retry_after) for e in errors if isinstance(e, QueueFullError)] == [
        (QueueFullError, "full", 3)
    ] * 3


async def test_a_failure_that_nobody_waits_for_is_quiet_and_close_ends_the_rest() -> None:
    flights, work = Flights[int](), Work()
    leader = asyncio.create_task(flights.once(b"k", work))
    await work.begun.wait()
    leader.cancel()
    await flights.close()
    work.go.set()
    assert await flights.once(b"k", work) == 2
