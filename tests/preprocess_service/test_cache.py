"""The levels together: what is kept, what is joined, what is told apart, with and without Redis."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from pathlib import Path

import pytest

from preprocess_service.cache import PromptCache, cacheable, line_key, raw_key
from preprocess_service.cache_redis import PREFIX, Shared
from preprocess_service.core import POLICIES, Fields, Prepared, Request
from preprocess_service.metrics import Metrics
from preprocess_service.pipeline import Line
from reelgate.rpc.errors import QueueFullError

from .redis_server import redis_server

KEY = b"k" * 16
ROOM = 1 << 20


class Maker:
    """Makes one prompt, and counts."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, self.runs = prepared, 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Prepared:
        self.runs += 1
        await self.go.wait()
        return self.prepared


@pytest.fixture
def maker(line: Line) -> Maker:
    return Maker(line.prepare(Request(text="A red ball.")))


async def test_the_second_request_is_a_hit_with_the_same_result(maker: Maker) -> None:
    cache = PromptCache(room=ROOM, ttl=60, metrics=Metrics())
    first, second = await cache.prepared(KEY, maker), await cache.prepared(KEY, maker)
    assert (first.hit, second.hit, maker.runs) == (False, True, 1)
    assert first.prepared == second.prepared


async def test_a_stampede_runs_the_line_once_though_its_leader_leaves(maker: Maker) -> None:
    cache = PromptCache(room=ROOM, ttl=60, metrics=Metrics())
    maker.go.clear()
    tasks = [asyncio.create_task(cache.prepared(KEY, maker)) for _ in range(50)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    maker.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [f.prepared for f in found[1:] if not isinstance(f, BaseException)] == [maker.prepared] * 49
    assert maker.runs == 1


async def test_failures_and_fallbacks_are_never_kept(maker: Maker) -> None:
    cache = PromptCache(room=ROOM, ttl=60, metrics=Metrics())

    async def fail() -> Prepared:
        raise QueueFullError("full")

    with pytest.raises(QueueFullError):
        await cache.prepared(KEY, fail)
    fallback = replace(maker.prepared.receipt, notes=("rewriter_failed:OSError",))
    maker.prepared = replace(maker.prepared, receipt=fallback)
    assert not cacheable(maker.prepared)
    assert [(await cache.prepared(KEY, maker)).hit for _ in range(3)] == [False] * 3
    assert maker.runs == 3


async def test_without_room_nothing_is_kept(maker: Maker) -> None:
    cache = PromptCache(room=0, ttl=60, metrics=Metrics())
    cache.keep_raw(KEY, b"answer")
    assert cache.raw(KEY) is None
    assert [(await cache.prepared(KEY, maker)).hit for _ in range(2)] == [False] * 2
    assert not cache.enabled


def test_every_option_tenant_and_version_has_its_own_key() -> None:
    base = Request(text="a cat")
    other = {
        "text": "a dog",
        "fields": Fields(subject="a"),
        "negative": "blurry",
        "keywords": ("cat",),
        "policy": POLICIES["full"],
        "template": "x",
        "emojis": "keep",
        "strict": True,
    }
    known = [field.name for field in fields(Request) if field.name in other]
    assert set(known) == set(other)
    keys = [line_key(tenant="t", versions=("1",), request=replace(base, **{name: other[name]})) for name in known]
    keys.append(line_key(tenant="t", versions=("1",), request=base))
    keys.append(line_key(tenant="u", versions=("1",), request=base))
    keys.append(line_key(tenant="t", versions=("2",), request=base))
    keys.append(line_key(tenant="t", versions=("1",), request=replace(base, policy=replace(base.policy, ratio=0.6))))
    assert len(set(keys)) == len(keys)
    raw = [
        raw_key(tenant=t, tier=r, versions=(v,), message=m)
        for t in "ab"
        for r in "cd"
        for v in "12"
        for m in (b"m", b"")
    ]
    assert len(set(raw)) == len(raw)


async def test_two_processes_share_what_lies_in_redis_and_damage_is_a_miss(maker: Maker, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        caches = []
        for _ in range(3):
            metrics = Metrics()
            shared = Shared(server.url, ttl=60, timeout=1, metrics=metrics)
            await asyncio.wait_for(shared.in_use.wait(), 10)
            caches.append((PromptCache(room=ROOM, ttl=60, metrics=metrics, shared=shared), shared, metrics))
        one, other, third = caches
        try:
            assert not (await one[0].prepared(KEY, maker)).hit
            await asyncio.gather(*one[1]._tasks)  # the write beside the call
            assert (await other[0].prepared(KEY, maker)).hit
            assert maker.runs == 1
            await one[1]._redis.set(PREFIX + KEY.hex().encode(), b"RGP1 rubbish")
            assert not (await third[0].prepared(KEY, maker)).hit
            assert third[2].redis_troubles["damaged"]._value.get() == 1
            assert maker.runs == 2
        finally:
            for cache, _, _ in caches:
                await cache.close()
