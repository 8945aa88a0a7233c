"""What a client of the generator asks for in the tests, and what it gets."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc import errors
from reelgate.rpc.status import from_rpc_error

TINY: dict[str, Any] = {"width": 32, "height": 32, "frames": 5, "steps": 4}


def ask(prompt: str = "a red circle moves left", *, run: str = "", **settings: Any) -> pb.GenerateVideoRequest:
    return pb.GenerateVideoRequest(prompt=prompt, settings=pb.VideoSettings(**{**TINY, **settings}), run=run)


async def made(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest) -> list[pb.GenerateVideoResponse]:
    return [message async for message in stub.GenerateVideo(request)]


async def refused(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest) -> errors.ReelgateError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made(stub, request)
    return from_rpc_error(caught.value)
