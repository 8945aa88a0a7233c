"""A servicer that raises what it is told, behind a real server, and real clients to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1 import generator_pb2_grpc as pb_grpc
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig, ServerConfig
from reelgate.rpc.identity import current_identity
from reelgate.rpc.outgoing import remaining_time
from reelgate.rpc.server import Server

SERVICE = "reelgate.generator.v1.GeneratorService"


class Scripted(pb_grpc.GeneratorServiceServicer):
    """GetVideo answers with what it saw of the caller, or raises ``error``; GenerateVideo waits for ``release`` after its first message,
    or sends without end where ``flood`` is set. ``big``: GetVideo waits for ``release`` and answers with nearly 4 MiB."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls = 0
        self.started, self.release, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.flood = self.big = False
        self.ended = asyncio.Event()
        self.forward: Callable[[], Awaitable[Any]] | None = None

    async def GetVideo(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if self.error:
            raise self.error
        if self.forward:
            await self.forward()
        if self.big:
            self.started.set()
            await self.release.wait()
            return pb.GetVideoResponse(video=pb.Video(name="x" * 4_000_000))
        tenant = current_identity().tenant_for(request.tenant)
        left = remaining_time()
        return pb.GetVideoResponse(video=pb.Video(name=request.name, take=tenant, media_type=str(left)))

    async def GenerateVideo(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.calls += 1
        if self.error:
            raise self.error
        try:
            while self.flood:
                yield pb.GenerateVideoResponse(accepted=pb.VideoAccepted(name="x" * 100_000))
        finally:
            self.ended.set()
        yield pb.GenerateVideoResponse(accepted=pb.VideoAccepted(name="videos/1"))
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield pb.GenerateVideoResponse(video=pb.Video(name="videos/1"))


@asynccontextmanager
async def served(servicer: Scripted, **config: Any) -> AsyncIterator[Server]:
    register = partial(pb_grpc.add_GeneratorServiceServicer_to_server, servicer)
    server = Server(ServerConfig(**{"grace_s": 5.0, **config}), {SERVICE: register})
    await server.start()
    await server.set_serving(True)
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connected(port: int, **config: Any) -> AsyncIterator[pb_grpc.GeneratorServiceAsyncStub]:
    channel = connect(ChannelConfig(**{"target": f"127.0.0.1:{port}", "attempts": 1, **config}))
    try:
        yield pb_grpc.GeneratorServiceStub(channel)
    finally:
        await channel.close()
