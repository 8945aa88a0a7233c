"""Every hold ends, also when who made it is gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from preprocess_service.budgets.books import Books, clock
from preprocess_service.budgets.core import Amount, Ask, Cause, Filed, State
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.budgets.reconciler import MOST, Chore, Reconciler
from preprocess_service.generator import Generator
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.errors import ReelgateError, UnavailableError
from tests.preprocess_service.generator_twin import name_of

from .replicas import NEVER_S, PROMPT, House, until


async def test_a_killed_replicas_run_is_settled_by_another(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica() as survivor:
        async with house.replica() as killed:
            making = asyncio.create_task(killed.video())
            await until(lambda: house.twin.runs)
            killed.books.down = True  # whatever it still does, its books hear nothing of it
        with suppress(ReelgateError, asyncio.CancelledError):
            await making
        await asyncio.sleep(0.5)
        assert await house.open_holds() == 1
        house.twin.hold.set()
        await until(lambda: none_open(house))
        books = await house.books()
        assert (books.held, books.charged.device_ms) == (Amount(), 320)
        assert "settle" in survivor.books.calls


async def test_a_hold_of_a_replica_killed_before_it_forwarded_is_released_after_the_grace(house: House) -> None:
    ask = Ask(
        tenant="local",
        name=name_of(PROMPT),
        run="a" * 32,
        amount=Amount(tokens=9, device_ms=900),
        at_ms=clock(),
        tier="embedded",
    )
    await house.ledger.reserve(ask, Filed())
    async with house.replica(grace_s=1):
        await asyncio.sleep(0.4)
        assert await house.open_holds() == 1
        await until(lambda: none_open(house))
    hold = await house.ledger.find(ask.name, ask.run)
    assert hold is not None
    assert (hold.state, hold.cause) == (State.RELEASED, Cause.NEVER_BEGAN)
    assert clock() - ask.at_ms >= 1000


async def test_a_replica_that_stops_leaves_its_runs_to_others_at_once(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica() as other:
        async with house.replica(every_s=NEVER_S) as leaving:
            both = [asyncio.create_task(leaving.video(request_id="same")) for _ in range(2)]
            await until(lambda: len(house.twin.asked) == 2)  # the second looks after what it found, for a minute
            await asyncio.sleep(0.3)
            assert "claim" in other.books.calls
            house.twin.hold.clear()
        for each in both:
            with suppress(ReelgateError, asyncio.CancelledError):
                await each
        house.twin.hold.set()
        await until(lambda: none_open(house), 5)
        assert (await house.books()).charged.device_ms == 320


async def test_a_run_that_outgrows_its_hold_with_nobody_there_is_extended_too(house: House) -> None:
    house.twin.step_ms = 5000
    house.twin.hold.clear()
    async with house.replica() as replica:
        making = asyncio.create_task(replica.video())
        await until(lambda: house.twin.runs and next(iter(house.twin.runs.values())).step)
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making
        await until(lambda: held(house, 5020))
        house.twin.hold.set()
        await until(lambda: none_open(house))
        assert (await house.books()).charged.device_ms == 15_020


async def test_a_round_that_fails_is_not_the_last(house: House) -> None:
    async with house.replica() as replica:
        replica.books.down = True
        await asyncio.sleep(0.4)
        replica.books.down = False
        replica.books.calls.clear()
        await until(lambda: "claim" in replica.books.calls)


async def test_more_holds_than_one_round_takes_end_without_a_pause_between_rounds(house: House) -> None:
    many = MOST * 2 + 5
    for number in range(many):
        ask = Ask(
            tenant="local",
            name=name_of(str(number)),
            run=f"{number:032x}",
            amount=Amount(tokens=1),
            at_ms=clock() - 3_600_000,
        )
        await house.ledger.reserve(ask, Filed())
    async with house.replica(every_s=NEVER_S, grace_s=1):
        await until(lambda: none_open(house), 20)


async def test_chores_are_done_again_and_again_and_a_failure_ends_none(house: House) -> None:
    done: list[str] = []

    async def good() -> None:
        done.append("good")

    async def bad() -> None:
        done.append("bad")
        raise ValueError("no")

    async def away() -> None:
        done.append("away")
        raise UnavailableError("away")

    chores = [Chore(name=each.__name__, every_s=0.02, do=each) for each in (good, bad, away)]
    generator = Generator(ChannelConfig(target="127.0.0.1:1", attempts=1), {}, probe_seconds=1)
    reconciler = Reconciler(Books(ledger=MemoryLedger(), replica="r"), generator, every_s=1, chores=chores)
    running = asyncio.create_task(reconciler.run())
    await until(lambda: min(map(done.count, ("good", "bad", "away"))) >= 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await generator.close()


async def none_open(house: House) -> bool:
    return not await house.open_holds()


async def held(house: House, device_ms: int) -> bool:
    return (await house.books()).held.device_ms >= device_ms
