"""Locks by name."""

from __future__ import annotations

import asyncio

import pytest

from generator_service.names import NameLocks


async def test_one_name_is_held_by_one_at_a_time_first_come_first_served() -> None:
    locks, order, inside = NameLocks(), list[int](), 0

    async def hold(number: int) -> None:
        nonlocal inside
        async with locks.of("a"):
            inside += 1
            await asyncio.sleep(0)
            assert inside == 1
            order.append(number)
            inside -= 1

    await asyncio.gather(*(hold(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_who_waits_for_one_name_keeps_no_other_waiting() -> None:
    locks = NameLocks()
    async with locks.of("a"), asyncio.timeout(1), locks.of("b"):
        assert len(locks) == 2


async def test_nothing_is_kept_of_a_name_that_nobody_wants() -> None:
    locks = NameLocks()
    async with locks.of("a"):
        waiting = asyncio.create_task(_take(locks, "a"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(locks) == 1
    with pytest.raises(RuntimeError):
        async with locks.of("b"):
            raise RuntimeError
    assert len(locks) == 0


async def _take(locks: NameLocks, name: str) -> None:
    async with locks.of(name):
        pass
