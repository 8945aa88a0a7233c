"""What surrounds a call: parsing, limits, request ids, logs, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import grpc
import pytest

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.rpc import errors, logs
from reelgate.rpc.status import typed_errors

GET = "/reelgate.generator.v1.GeneratorService/GetVideo"
GENERATE = "/reelgate.generator.v1.GeneratorService/GenerateVideo"
# Field 1, length-delimited, two bytes that are not UTF-8; then a tag of wire type 7, which does not exist.
UNREADABLE = [b"\x0a\x02\xff\xfe", b"\x0f", b"\x0a\x7f"]


@pytest.mark.parametrize("body", UNREADABLE)
@pytest.mark.parametrize("method", [GET, GENERATE])
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    body: bytes, method: str, servicer: Any, raw: Any, stub: Any
) -> None:
    call = raw.unary_unary(method)(body) if method == GET else anext(aiter(raw.unary_stream(method)(body)))
    with pytest.raises(errors.InvalidFieldError) as caught, typed_errors():
        await call
    assert caught.value.violations
    assert servicer.calls == 0
    assert (await stub.GetVideo(pb.GetVideoRequest(name="next"))).video.name == "next"


async def test_a_megabyte_reaches_the_servicer(stub: Any) -> None:
    name = "x" * 1_000_000
    assert (await stub.GetVideo(pb.GetVideoRequest(name=name))).video.name == name


async def test_more_than_the_message_limit_is_refused(stub: Any) -> None:
    with pytest.raises(errors.MessageTooLargeError), typed_errors():
        await stub.GetVideo(pb.GetVideoRequest(name="x" * 5_000_000))


async def test_the_callers_request_id_comes_back(servicer: Any, stub: Any) -> None:
    servicer.error = errors.QueueFullError("full")
    with pytest.raises(errors.QueueFullError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "mine-1")])
    assert caught.value.request_id == "mine-1"


async def test_a_request_id_that_would_spoil_a_log_is_replaced(stub: Any) -> None:
    call = stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "a b" * 100)])
    await call
    assert len(dict(await call.trailing_metadata())["x-request-id"]) == 32


async def test_each_call_leaves_one_json_line_with_its_id(servicer: Any, stub: Any) -> None:
    stream, logger = io.StringIO(), logging.getLogger("reelgate.access")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        await stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "good")])
        servicer.error = errors.QueueFullError("full")
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "bad")])
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["request_id"], line["code"], line["tenant"]) for line in lines] == [
        ("good", "OK", "local"),
        ("bad", "UNAVAILABLE", "local"),
    ]


async def test_the_servicer_knows_the_deadline(stub: Any) -> None:
    answer = await stub.GetVideo(pb.GetVideoRequest(), timeout=5)
    assert 0 < float(answer.video.media_type) <= 5
    assert (await stub.GetVideo(pb.GetVideoRequest())).video.media_type == "None"


async def test_a_passed_deadline_is_typed_and_stops_the_handler(servicer: Any, stub: Any) -> None:
    with pytest.raises(errors.DeadlineExceededError), typed_errors():
        async for _ in stub.GenerateVideo(pb.GenerateVideoRequest(), timeout=0.3):
            pass
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_a_client_that_leaves_cancels_the_handler(servicer: Any, stub: Any) -> None:
    call = stub.GenerateVideo(pb.GenerateVideoRequest())
    async for _ in call:
        break
    await servicer.started.wait()
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)
