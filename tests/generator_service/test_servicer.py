"""A real client against a real server on loopback, over random weights."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from generator_service.app import SERVICE, running
from generator_service.engine import Engine
from generator_service.settings import Settings
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc import errors
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.identity import Identity, enter
from reelgate.rpc.status import from_rpc_error

TINY: dict[str, Any] = {"width": 32, "height": 32, "frames": 5, "steps": 4}
NOBODYS = "videos/" + "0" * 64


@pytest.fixture
async def channel(model_folder: Path, engine: Engine, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder), queue=2)
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> GeneratorServiceStub:
    return GeneratorServiceStub(channel)


def ask(prompt: str = "a red circle moves left", **settings: Any) -> pb.GenerateVideoRequest:
    return pb.GenerateVideoRequest(prompt=prompt, settings=pb.VideoSettings(**{**TINY, **settings}))


async def made(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest) -> list[pb.GenerateVideoResponse]:
    return [message async for message in stub.GenerateVideo(request)]


async def refused(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest) -> errors.ReelgateError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made(stub, request)
    return from_rpc_error(caught.value)
