"""Retries, and what a call on behalf of another inherits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.rpc import errors
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.status import typed_errors
from tests.reelgate.rpc.scripted import Scripted, connected, served
from tests.reelgate.rpc.test_interceptors import ROUNDING


async def test_unavailable_is_tried_again_and_nothing_else(servicer: Any, server: Any) -> None:
    async with connected(server.port, attempts=3) as stub:
        servicer.error = errors.QueueFullError("full", retry_after=0.01)
        with pytest.raises(errors.QueueFullError), typed_errors():
            await stub.GetVideo(pb.GetVideoRequest())
        assert servicer.calls == 3
        servicer.calls, servicer.error = 0, errors.RateLimitedError("slow down", retry_after=0.01)
        with pytest.raises(errors.RateLimitedError), typed_errors():
            await stub.GetVideo(pb.GetVideoRequest())
        assert servicer.calls == 1


async def test_one_attempt_is_one_attempt(servicer: Any, stub: Any) -> None:
    servicer.error = errors.QueueFullError("full", retry_after=0.01)
    with pytest.raises(errors.QueueFullError), typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    assert servicer.calls == 1


async def test_deadline_and_request_id_pass_through_a_gate(servicer: Any, server: Any) -> None:
    gate = Scripted()
    async with connected(server.port) as inner, served(gate) as front, connected(front.port) as outer:
        seen: list[Any] = []

        async def forward() -> None:
            with typed_errors():
                seen.append(await inner.GetVideo(pb.GetVideoRequest(), timeout=60))
                servicer.error = errors.TokenizerMismatchError("other tokenizer")
                await inner.GetVideo(pb.GetVideoRequest())

        gate.forward = forward
        with pytest.raises(errors.TokenizerMismatchError) as caught, typed_errors():
            await outer.GetVideo(pb.GetVideoRequest(), timeout=5, metadata=[("x-request-id", "through")])
        assert float(seen[0].video.media_type) <= 5 + 2 * ROUNDING  # two hops, each rounds up
        assert caught.value.request_id == "through"


async def test_a_client_that_leaves_the_gate_leaves_the_generator_too(servicer: Any, server: Any) -> None:
    gate = Scripted()
    async with connected(server.port) as inner, served(gate) as front, connected(front.port) as outer:

        async def forward() -> None:
            async for _ in inner.GenerateVideo(pb.GenerateVideoRequest()):
                pass

        gate.forward = forward
        call = asyncio.ensure_future(outer.GetVideo(pb.GetVideoRequest()))
        await asyncio.wait_for(servicer.started.wait(), 5)
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 5)


@pytest.mark.parametrize("attempts", [0, 6])
def test_attempts_are_bounded(attempts: int) -> None:
    with pytest.raises(ValueError, match="attempts"):
        ChannelConfig(target="127.0.0.1:1", attempts=attempts)
