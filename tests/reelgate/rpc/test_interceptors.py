"""What surrounds a call: parsing, limits, request ids, logs, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.rpc import errors, logs
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.server import Server
from reelgate.rpc.status import typed_errors

GET = "/reelgate.generator.v1.GeneratorService/GetVideo"
GENERATE = "/reelgate.generator.v1.GeneratorService/GenerateVideo"
# Field 1, length-delimited, two bytes that are not UTF-8; then a tag of wire type 7, which does not exist.
UNREADABLE = [b"\x0a\x02\xff\xfe", b"\x0f", b"\x0a\x7f"]

# gRPC sends a deadline in steps that grow with it, and rounds up.
ROUNDING = 0.1


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


@pytest.fixture
def access_lines() -> Iterator[list[dict[str, Any]]]:
    """The access log, parsed, one entry a call."""
    lines: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(self.format(record)))

    logger, handler = logging.getLogger("reelgate.access"), Collect()
    handler.setFormatter(logs.JsonFormatter())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_each_call_leaves_one_json_line_with_its_id(
    servicer: Any, stub: Any, access_lines: list[dict[str, Any]]
) -> None:
    await stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "good")])
    servicer.error = errors.QueueFullError("full")
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.GetVideo(pb.GetVideoRequest(), metadata=[("x-request-id", "bad")])
    assert [(line["request_id"], line["code"], line["tenant"]) for line in access_lines] == [
        ("good", "OK", "local"),
        ("bad", "UNAVAILABLE", "local"),
    ]


async def test_the_servicer_knows_the_deadline(stub: Any) -> None:
    answer = await stub.GetVideo(pb.GetVideoRequest(), timeout=5)
    assert 0 < float(answer.video.media_type) <= 5 + ROUNDING
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


async def test_a_client_that_leaves_amid_the_bytes_ends_its_handler_in_its_own_task(
    servicer: Any, stub: Any, access_lines: list[dict[str, Any]]
) -> None:
    servicer.flood = True
    for i in range(3):
        servicer.ended.clear()
        call = stub.GenerateVideo(pb.GenerateVideoRequest(), metadata=[("x-request-id", f"leaver-{i}")])
        async for _ in call:
            break
        await asyncio.sleep(0.05)  # by now the server waits for the client's window
        call.cancel()
        await asyncio.wait_for(servicer.ended.wait(), 5)
    assert (await stub.GetVideo(pb.GetVideoRequest(name="next"))).video.name == "next"
    leavers = [(line["request_id"], line["code"], line["tenant"]) for line in access_lines][:3]
    assert leavers == [(f"leaver-{i}", "CANCELLED", "local") for i in range(3)]


@pytest.mark.parametrize("method", ["GetVideo", "GenerateVideo"])
async def test_what_is_cancelled_inside_the_server_answers_at_once(method: str, servicer: Any, stub: Any) -> None:
    servicer.error = asyncio.CancelledError()
    if method == "GetVideo":
        answer = stub.GetVideo(pb.GetVideoRequest(), timeout=5)
    else:
        answer = anext(aiter(stub.GenerateVideo(pb.GenerateVideoRequest(), timeout=5)))
    with pytest.raises(errors.InternalError, match="under the request id"), typed_errors():
        await answer


async def test_a_call_that_no_layer_can_wrap_is_refused() -> None:
    """A client stream would pass by the identity layer."""
    walk = grpc.stream_unary_rpc_method_handler(lambda request, context: b"let in")
    door = grpc.method_handlers_generic_handler("open.Door", {"Walk": walk})
    server = Server(ServerConfig(), {"open.Door": lambda server: server.add_generic_rpc_handlers((door,))})
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with pytest.raises(errors.NotBuiltError), typed_errors():
                await channel.stream_unary("/open.Door/Walk")(iter([b"hello"]))
    finally:
        await server.stop()
