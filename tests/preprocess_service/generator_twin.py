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
from reelgate.rpc.errors import (
    GeneratorUnavailableError,
    InternalError,
    InvalidFieldError,
    NotFoundError,
    StoreUnavailableError,
    TokenizerMismatchError,
    VideoCancelledError,
)
from reelgate.rpc.server import Server

BYTES = b"not really a video, but bytes in order" * 100


class Twin(GeneratorServiceServicer):
    """Remembers what it was asked; ``hold`` keeps a run at its first step until it is set.

    ``breaks``: how many downloads still fail after half of the bytes. ``sha256``: of the video, as it says. ``fails``: runs end so.
    """

    def __init__(self, fingerprints: dict[str, str]) -> None:
        self.fingerprints = fingerprints
        self.asked: list[pb.GenerateVideoRequest] = []
        self.timeouts: list[float | None] = []
        self.cancelled: list[str] = []
        self.closed = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()
        self.data = BYTES
        self.sha256 = hashlib.sha256(BYTES).hexdigest()
        self.offsets: list[int] = []
        self.breaks = 0
        self.fails = False
        self.warnings: list[str] = []
        self.estimated: list[pb.EstimateVideoRequest] = []
        self.measured = True

    def video(self, name: str, **fields: Any) -> pb.Video:
        state = pb.VIDEO_STATE_CANCELLED if name in self.cancelled else pb.VIDEO_STATE_DONE
        return pb.Video(name=name, state=state, size_bytes=len(self.data), sha256=self.sha256, **fields)

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
        yield pb.GenerateVideoResponse(
            accepted=pb.VideoAccepted(name=name, settings=request.settings, warnings=self.warnings)
        )
        try:
            for step in range(1, 4):
                yield pb.GenerateVideoResponse(progress=pb.Progress(stage=pb.STAGE_DENOISE, step=step, steps=3))
                await self.hold.wait()
                if name in self.cancelled:
                    raise VideoCancelledError("the video was cancelled")
                if self.fails:
                    raise InternalError("no video today")
            yield pb.GenerateVideoResponse(video=self.video(name))
        finally:
            self.closed.set()

    async def EstimateVideo(self, request: Any, context: Any) -> pb.EstimateVideoResponse:  # noqa: N802
        self.estimated.append(request)
        if not self.measured:
            raise GeneratorUnavailableError("the tier was not measured yet")
        return pb.EstimateVideoResponse(device_ms_p50=1000 + request.settings.steps, device_ms_p95=2000)

    async def GetVideo(self, request: Any, context: Any) -> pb.GetVideoResponse:  # noqa: N802
        if request.name == "videos/none":
            raise NotFoundError.of("video", request.name)
        return pb.GetVideoResponse(video=self.video(request.name, media_type=request.tenant))

    async def CancelVideo(self, request: Any, context: Any) -> pb.CancelVideoResponse:  # noqa: N802
        self.cancelled.append(request.name)
        self.hold.set()
        return pb.CancelVideoResponse(video=self.video(request.name))

    async def DownloadVideo(self, request: Any, context: Any) -> AsyncIterator[pb.DownloadVideoResponse]:  # noqa: N802
        self.offsets.append(request.offset)
        for at in range(request.offset, len(self.data), 1000):
            if self.breaks and at > len(self.data) // 2:
                self.breaks -= 1
                raise StoreUnavailableError("the store went away", retry_after=0.01)
            yield pb.DownloadVideoResponse(data=self.data[at : at + 1000], offset=at, total_bytes=len(self.data))


async def serve(twin: Twin, bind: str = "127.0.0.1:0") -> Server:
    """The twin behind a real server, serving."""
    register = partial(add_GeneratorServiceServicer_to_server, twin)
    server = Server(ServerConfig(bind=bind, grace_s=0.1), {"reelgate.generator.v1.GeneratorService": register})
    await server.start()
    await server.set_serving(True)
    return server
