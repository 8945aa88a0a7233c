"""A small real generator: the same contract over the same gRPC, with three steps and no model."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import (
    GeneratorServiceServicer,
    add_GeneratorServiceServicer_to_server,
)
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.errors import InvalidFieldError, NotFoundError, TokenizerMismatchError
from reelgate.rpc.server import Server

BYTES = b"not really a video, but bytes in order" * 100


class Twin(GeneratorServiceServicer):
    """Remembers what it was asked; ``hold`` keeps a run at its first step until it is set."""

    def __init__(self, fingerprints: dict[str, str]) -> None:
        self.fingerprints = fingerprints
        self.asked: list[pb.GenerateVideoRequest] = []
        self.timeouts: list[float | None] = []
        self.cancelled: list[str] = []
        self.closed = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def GetModel(self, request: Any, context: Any) -> pb.GetModelResponse:  # noqa: N802
        tiers = [pb.Tier(name=name, tokenizer_fingerprint=print_) for name, print_ in self.fingerprints.items()]
        return pb.GetModelResponse(tiers=tiers, default_tier="embedded")

    async def GenerateVideo(self, request: Any, context: Any) -> AsyncIterator[pb.GenerateVideoResponse]:  # noqa: N802
        self.asked.append(request)
        self.timeouts.append(context.time_remaining())
        if self.fingerprints[request.settings.tier] != request.tokenizer_fingerprint:
            raise TokenizerMismatchError("another tokenizer")
        if request.settings.steps > 100:
            raise InvalidFieldError.of("settings.steps", "is more than 100")
        name = f"videos/{hashlib.sha256(request.prompt.encode()).hexdigest()}"
        yield pb.GenerateVideoResponse(accepted=pb.VideoAccepted(name=name, settings=request.settings))
        try:
            for step in range(1, 4):
                yield pb.GenerateVideoResponse(progress=pb.Progress(stage=pb.STAGE_DENOISE, step=step, steps=3))
                await self.hold.wait()
            yield pb.GenerateVideoResponse(video=pb.Video(name=name, state=pb.VIDEO_STATE_DONE, size_bytes=len(BYTES)))
        finally:
            self.closed.set()

    async def GetVideo(self, request: Any, context: Any) -> pb.GetVideoResponse:  # noqa: N802
        if request.name == "videos/none":
            raise NotFoundError.of("video", request.name)
        return pb.GetVideoResponse(video=pb.Video(name=request.name, media_type=request.tenant))

    async def CancelVideo(self, request: Any, context: Any) -> pb.CancelVideoResponse:  # noqa: N802
        self.cancelled.append(request.name)
        return pb.CancelVideoResponse(video=pb.Video(name=request.name, state=pb.VIDEO_STATE_CANCELLED))

    async def DownloadVideo(self, request: Any, context: Any) -> AsyncIterator[pb.DownloadVideoResponse]:  # noqa: N802
        for at in range(request.offset, len(BYTES), 1000):
            yield pb.DownloadVideoResponse(data=BYTES[at : at + 1000], offset=at, total_bytes=len(BYTES))


async def serve(twin: Twin, bind: str = "127.0.0.1:0") -> Server:
    """The twin behind a real server, serving."""
    register = partial(add_GeneratorServiceServicer_to_server, twin)
    server = Server(ServerConfig(bind=bind, grace_s=0.1), {"reelgate.generator.v1.GeneratorService": register})
    await server.start()
    await server.set_serving(True)
    return server
