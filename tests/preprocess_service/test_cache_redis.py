"""The shared level against a real Redis: answering, stopped where it stands, killed and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from preprocess_service.cache_redis import FAILURES, PREFIX, Shared
from preprocess_service.metrics import Metrics

from .redis_server import RedisServer, redis_server

KEY = b"k" * 16


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def opened(url: str, *, patience: float = 0.25, ttl: float = 60) -> AsyncIterator[tuple[Shared, Metrics]]:
    metrics = Metrics()
    shared = Shared(url, ttl=ttl, timeout=patience, metrics=metrics)
    try:
        yield shared, metrics
    finally:
        await shared.close()


async def stored(shared: Shared, key: bytes, writer: Shared) -> bytes | None:
    """What is there once the writes beside the calls are done."""
    await asyncio.gather(*writer._tasks)
    return await shared.get(key)


async def test_what_one_process_puts_another_gets(server: RedisServer) -> None:
    async with opened(server.url) as (one, _), opened(server.url) as (other, _):
        await asyncio.wait_for(asyncio.gather(one.in_use.wait(), other.in_use.wait()), 10)
        assert await other.get(KEY) is None
        one.put(KEY, b"\x00value")
        assert await stored(other, KEY, one) == b"\x00value"


async def test_values_end(server: RedisServer) -> None:
    async with opened(server.url, ttl=30) as (shared, _):
        await asyncio.wait_for(shared.in_use.wait(), 10)
        shared.put(KEY, b"value")
        await stored(shared, KEY, shared)
        left = await shared._redis.pttl(PREFIX + KEY.hex().encode())
        assert 20_000 < left <= 30_000


async def test_a_redis_that_hangs_costs_a_few_timeouts_and_is_used_again_when_it_goes_on(server: RedisServer) -> None:
    async with opened(server.url, patience=0.02) as (shared, metrics):
        await asyncio.wait_for(shared.in_use.wait(), 10)
        server.pause()
        began = time.monotonic()
        for _ in range(200):
            assert await shared.get(KEY) is None
        assert time.monotonic() - began < 2  # not 200 times 20 ms
        assert metrics.redis_troubles["timeout"]._value.get() == FAILURES
        assert not shared.in_use.is_set()
        server.go_on()
        await asyncio.wait_for(shared.in_use.wait(), 15)
        shared.put(KEY, b"value")
        assert await stored(shared, KEY, shared) == b"value"


async def test_a_redis_that_is_killed_is_left_out_and_found_again(server: RedisServer) -> None:
    async with opened(server.url) as (shared, _):
        await asyncio.wait_for(shared.in_use.wait(), 10)
        server.stop()
        for _ in range(FAILURES):
            assert await shared.get(KEY) is None
        assert not shared.in_use.is_set()
        server.start()
        await asyncio.wait_for(shared.in_use.wait(), 15)
        assert await shared.get(KEY) is None


async def test_a_redis_that_never_was_there_is_never_waited_for(server: RedisServer) -> None:
    server.stop()
    async with opened(server.url) as (shared, metrics):
        began = time.monotonic()
        shared.put(KEY, b"value")
        assert await shared.get(KEY) is None
        assert time.monotonic() - began < 0.1
        assert metrics.redis_troubles["open"]._value.get() == 1


async def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        Shared("localhost", ttl=1, timeout=1, metrics=Metrics())
