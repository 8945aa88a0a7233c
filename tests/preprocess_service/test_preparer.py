"""The cache as a client meets it, through a real server, and its figures over HTTP."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from preprocess_service.app import App, running
from preprocess_service.settings import Settings
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig

from .redis_server import redis_server


@asynccontextmanager
async def served(**options: object) -> AsyncIterator[tuple[App, PreprocessServiceStub]]:
    settings = Settings(address="127.0.0.1:0", generator="127.0.0.1:1", drain_seconds=0.2, **options)
    async with (
        running(settings) as app,
        connect(ChannelConfig(target=f"127.0.0.1:{app.server.port}", attempts=1)) as channel,
    ):
        yield app, PreprocessServiceStub(channel)


async def prepare(stub: PreprocessServiceStub, text: str, **options: object) -> pb.PreparePromptResponse:
    request = pb.PreparePromptRequest(input=pb.PromptInput(text=text, **options))
    answer: pb.PreparePromptResponse = await stub.PreparePrompt(request, timeout=20)
    return answer


def without_cache(answer: pb.PreparePromptResponse) -> bytes:
    """The answer, less the cache's part in it and how long each stage took this time."""
    answer.receipt.cache = pb.CACHE_RESULT_UNSPECIFIED
    for stage in answer.receipt.stages:
        stage.duration_us = 0
    return answer.SerializeToString(deterministic=True)


async def test_a_hit_is_the_whole_answer_again(long_prompt: str) -> None:
    async with served() as (_, stub):
        first, second = await prepare(stub, long_prompt), await prepare(stub, long_prompt)
        assert (first.receipt.cache, second.receipt.cache) == (pb.CACHE_RESULT_MISS, pb.CACHE_RESULT_HIT)
        assert without_cache(first) == without_cache(second)


async def test_dirt_alone_makes_no_miss_and_the_receipt_speaks_of_ones_own_text(long_prompt: str) -> None:
    dirty = long_prompt.replace(", ", ",\u200b  ") + "\n"
    async with served() as (_, stub):
        clean = await prepare(stub, long_prompt)
        answer = await prepare(stub, dirty)
        assert (answer.prompt, answer.receipt.cache) == (clean.prompt, pb.CACHE_RESULT_HIT)
        assert all(dirty[c.start : c.end] == c.original for c in answer.receipt.changes)
        assert answer.receipt.original_sha256 != clean.receipt.original_sha256


async def test_another_option_is_another_prompt(long_prompt: str) -> None:
    async with served() as (_, stub):
        await prepare(stub, long_prompt)
        for options in ({"policy": "full"}, {"keywords": ["brick wall"]}, {"negative_prompt": "x"}, {"strict": True}):
            assert (await prepare(stub, long_prompt, **options)).receipt.cache == pb.CACHE_RESULT_MISS


async def test_without_a_cache_the_receipt_says_so() -> None:
    async with served(cache_megabytes=0) as (_, stub):
        for _ in range(2):
            assert (await prepare(stub, "a cat")).receipt.cache == pb.CACHE_RESULT_BYPASS


async def test_two_services_share_one_redis(tmp_path: Path, long_prompt: str) -> None:
    with redis_server(tmp_path) as redis:
        options = {"cache_redis": redis.url, "cache_redis_timeout_ms": 1_000}
        async with served(**options) as (one, first), served(**options) as (other, second):
            for app in (one, other):
                assert app.shared
                await asyncio.wait_for(app.shared.in_use.wait(), 10)
            made = await prepare(first, long_prompt)
            assert one.shared
            await asyncio.gather(*one.shared._tasks)
            found = await prepare(second, long_prompt)
            assert found.receipt.cache == pb.CACHE_RESULT_HIT
            assert without_cache(found) == without_cache(made)
            redis.stop()
            assert (await prepare(second, "a dog")).receipt.cache == pb.CACHE_RESULT_MISS


async def test_prometheus_reads_the_caches_figures() -> None:
    async with served(metrics_address="127.0.0.1:0") as (app, stub):
        for text in ("a cat", "a cat", "a  cat"):
            await prepare(stub, text)
        url = f"http://127.0.0.1:{app.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    assert 'reelgate_preprocess_cache_lookups_total{level="raw",result="hit"} 1.0' in text
    assert 'reelgate_preprocess_cache_lookups_total{level="line",result="hit"} 1.0' in text
    assert 'reelgate_preprocess_cache_entries{level="raw"} 2.0' in text
    assert 'reelgate_preprocess_cache_refused_total{level="raw"} 0.0' in text


async def test_a_tenants_template_shapes_the_prompt_and_a_new_version_is_no_hit(tmp_path: Path) -> None:
    file = tmp_path / "default.yaml"
    file.write_text("templates: {mine: {order: [style, subject]}}")
    fields = {"structured": pb.StructuredPrompt(subject="a fox", style="watercolor"), "template": "mine"}
    async with served(tenants=tmp_path) as (_, stub):
        request = pb.PreparePromptRequest(input=pb.PromptInput(**fields))
        assert (await stub.PreparePrompt(request, timeout=20)).prompt == "watercolor, a fox"
        assert (await stub.PreparePrompt(request, timeout=20)).receipt.cache == pb.CACHE_RESULT_HIT
        file.write_text("templates: {mine: {order: [subject, style], join: '; '}}")
        changed = await stub.PreparePrompt(request, timeout=20)
        assert (changed.prompt, changed.receipt.cache) == ("a fox; watercolor", pb.CACHE_RESULT_MISS)


async def test_equal_style_endings_hit_the_cache() -> None:
    async with served() as (_, stub):
        first, second = (
            await prepare(stub, "A fox runs, 4k, Cinematic."),
            await prepare(stub, "A fox runs. Cinematic, 4K"),
        )
        assert (first.prompt, second.receipt.cache) == (second.prompt, pb.CACHE_RESULT_HIT)


async def test_rungs_and_verdicts_are_counted_by_tenant_hits_too(tmp_path: Path, long_prompt: str) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "local.yaml").write_text("screening: reject")
    async with served(metrics_address="127.0.0.1:0", metrics_tenants="local", tenants=tmp_path) as (app, stub):
        for _ in range(2):
            await prepare(stub, long_prompt)
        await prepare(stub, "a red ball")
        with pytest.raises(grpc.aio.AioRpcError):
            await prepare(stub, "buy now " * 60)
        url = f"http://127.0.0.1:{app.metrics_port}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    assert 'reelgate_preprocess_prompts_total{rung="extractive"} 2.0' in page
    assert 'reelgate_preprocess_prompts_total{rung="none"} 1.0' in page
    assert 'reelgate_preprocess_screened_total{tenant="local",verdict="pass"} 3.0' in page
    assert 'reelgate_preprocess_screened_total{tenant="local",verdict="rejected"} 1.0' in page


def test_what_is_kept_reads_as_either_answer() -> None:
    """A hit is read straight into the response, so their first fields must stay the same by number and type."""
    kept, sent = pb.PreparedPrompt.DESCRIPTOR.fields_by_number, pb.PreparePromptResponse.DESCRIPTOR.fields_by_number
    assert all(
        (sent[n].name, sent[n].type, sent[n].message_type) == (f.name, f.type, f.message_type) for n, f in kept.items()
    )
