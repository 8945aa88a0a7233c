"""A small real generator: the same contract over the same gRPC, with three steps and no model."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
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
    ReelgateError,
    StoreUnavailableError,
    TokenizerMismatchError,
    VideoCancelledError,
)
from reelgate.rpc.server import Server

BYTES = b"not really a video, but bytes in order" * 100
STEPS = 3
TEXT_MS = 20


@dataclass
class Run:
    """One run of one name; it goes on without anybody who watches."""

    name: str
    run: str
    state: pb.VideoState = pb.VIDEO_STATE_RUNNING
    step: int = 0
    report: pb.Report = field(default_factory=pb.Report)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def progress(self) -> pb.Progress:
        spent = self.report.device_time
        device_ms = spent.text_ms + spent.denoise_ms
        return pb.Progress(stage=pb.STAGE_DENOISE, step=self.step, steps=STEPS, device_ms=device_ms)


class Twin(GeneratorServiceServicer):
    """Remembers what it was asked; ``hold`` keeps a run at its first step until it is set, ``queue`` before its text, ``door`` a call
    before it is accepted, ``shelf`` a stored video after it was named.

    ``breaks``: how many downloads still fail after half of the bytes. ``sha256``: of the video, as it says. ``fails``: runs end so.
    ``step_ms``: what a step takes of the device. ``refuses``: what the next calls are refused with. ``loses``: finished videos are
    not kept. ``own_ids``: proposals of run ids are not taken. ``spoils``: stored videos are named and cannot be read.
    ``after``: told after the last step.
    """

    def __init__(self, fingerprints: dict[str, str]) -> None:
        self.fingerprints = fingerprints
        self.asked: list[pb.GenerateVideoRequest] = []
        self.timeouts: list[float | None] = []
        self.cancelled: list[str] = []
        self.closed = asyncio.Event()
        self.hold, self.queue, self.door, self.shelf = (asyncio.Event() for _ in range(4))
        for event in (self.hold, self.queue, self.door, self.shelf):
            event.set()
        self.arrived = asyncio.Event()
        self.data = BYTES
        self.sha256 = hashlib.sha256(BYTES).hexdigest()
        self.offsets: list[int] = []
        self.breaks = 0
        self.loading = False
        self.fails = self.loses = self.own_ids = self.spoils = False
        self.warnings: list[str] = []
        self.after: list[pb.Progress] = []
        self.estimated: list[pb.EstimateVideoRequest] = []
        self.refuses: list[ReelgateError] = []
        self.measured = True
        self.step_ms = 100
        self.runs: dict[tuple[str, str], Run] = {}
        self.latest: dict[str, Run] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def video(self, name: str, **fields: Any) -> pb.Video:
        state = pb.VIDEO_STATE_CANCELLED if name in self.cancelled else pb.VIDEO_STATE_DONE
        return pb.Video(name=name, state=state, size_bytes=len(self.data), sha256=self.sha256, **fields)

    def video_of(self, run: Run) -> pb.Video:
        video = pb.Video(name=run.name, state=run.state, run=run.run)
        if run.state == pb.VIDEO_STATE_RUNNING:
            video.progress.CopyFrom(run.progress)
            return video
        video.report.CopyFrom(run.report)
        if run.state == pb.VIDEO_STATE_DONE:
            video.size_bytes, video.sha256 = len(self.data), self.sha256
        return video

    async def GetModel(self, request: Any, context: Any) -> pb.GetModelResponse:  # noqa: N802
        if self.loading:
            raise GeneratorUnavailableError("the models are still being loaded")
        tiers = [pb.Tier(name=name, tokenizer_fingerprint=print_) for name, print_ in self.fingerprints.items()]
        return pb.GetModelResponse(tiers=tiers, default_tier="embedded")

    async def GenerateVideo(self, request: Any, context: Any) -> AsyncIterator[pb.GenerateVideoResponse]:  # noqa: N802
        self.asked.append(request)
        self.timeouts.append(context.time_remaining())
        if self.refuses:
            raise self.refuses.pop(0)
        self._check(request.settings)
        if self.fingerprints[request.settings.tier] != request.tokenizer_fingerprint:
            raise TokenizerMismatchError("another tokenizer")
        self.arrived.set()
        await self.door.wait()
        name = name_of(request.prompt)
        told = pb.VideoAccepted(name=name, settings=request.settings, warnings=self.warnings)
        run = self.runs.get((name, request.run)) or self.latest.get(name)
        if (name, request.run) in self.forbidden:
            raise VideoCancelledError("the video was cancelled")
        if run is None or (run.state != pb.VIDEO_STATE_RUNNING and run.run != request.run and not self._stored(name)):
            run = self._open(name, "" if self.own_ids else request.run)
            told.run = run.run
        else:
            told.run = run.run
            told.attached = run.state == pb.VIDEO_STATE_RUNNING
            told.cached = run.state == pb.VIDEO_STATE_DONE and run.run != request.run
        yield pb.GenerateVideoResponse(accepted=told)
        try:
            if told.cached and self.spoils:
                raise StoreUnavailableError("the store went away", retry_after=0.01)
            if told.cached:
                await self.shelf.wait()
                yield pb.GenerateVideoResponse(video=self._cached(run))
                return
            async for progress in watched(run):
                yield pb.GenerateVideoResponse(progress=progress)
            for progress in self.after:
                yield pb.GenerateVideoResponse(progress=progress)
            if run.state == pb.VIDEO_STATE_CANCELLED:
                raise VideoCancelledError("the video was cancelled")
            if run.state == pb.VIDEO_STATE_FAILED:
                raise InternalError("no video today")
            yield pb.GenerateVideoResponse(video=self.video_of(run))
        finally:
            self.closed.set()

    async def EstimateVideo(self, request: Any, context: Any) -> pb.EstimateVideoResponse:  # noqa: N802
        self.estimated.append(request)
        self._check(request.settings)
        told = pb.EstimateVideoResponse()
        if self.measured:
            told.device_ms_p50, told.device_ms_p95 = 1000 + request.settings.steps, 2000
        if not request.HasField("prompt"):
            return told
        told.name = name_of(request.prompt)
        known = self.latest.get(told.name)
        if known and (known.state == pb.VIDEO_STATE_RUNNING or self._stored(told.name)):
            told.state, told.run = known.state, known.run
        if told.state == pb.VIDEO_STATE_DONE:
            told.device_ms_p50 = told.device_ms_p95 = 0
        return told

    async def GetVideo(self, request: Any, context: Any) -> pb.GetVideoResponse:  # noqa: N802
        if request.run:
            key = (request.name, request.run)
            if key in self.forbidden:
                return pb.GetVideoResponse(video=self.video_of(Run(*key, state=pb.VIDEO_STATE_CANCELLED)))
            if key not in self.runs:
                raise NotFoundError.of("video", request.name)
            return pb.GetVideoResponse(video=self.video_of(self.runs[key]))
        if request.name == "videos/none":
            raise NotFoundError.of("video", request.name)
        if known := self.latest.get(request.name):
            return pb.GetVideoResponse(video=self.video_of(known))
        return pb.GetVideoResponse(video=self.video(request.name, media_type=request.tenant))

    async def ListVideos(self, request: Any, context: Any) -> pb.ListVideosResponse:  # noqa: N802
        """The runs in the order of their names, newest first; the token is the number of those before."""
        newest = list(self.latest.values())[::-1]
        begin, size = int(request.page_token or 0), request.page_size or 100
        token = str(begin + size) if begin + size < len(newest) else ""
        videos = [self.video_of(run) for run in newest[begin : begin + size]]
        return pb.ListVideosResponse(videos=videos, next_page_token=token)

    async def CancelVideo(self, request: Any, context: Any) -> pb.CancelVideoResponse:  # noqa: N802
        key = (request.name, request.run)
        if request.run and key not in self.runs:
            if request.name not in self.latest:
                raise NotFoundError.of("video", request.name)
            self.forbidden.add(key)
            return pb.CancelVideoResponse(video=self.video_of(Run(*key, state=pb.VIDEO_STATE_CANCELLED)))
        run = self.runs[key] if request.run else self.latest.get(request.name)
        if run is None or not request.run:
            self.cancelled.append(request.name)
        if run is None:
            return pb.CancelVideoResponse(video=self.video(request.name))
        run.stop.set()
        async with run.moved:
            await run.moved.wait_for(lambda: run.state != pb.VIDEO_STATE_RUNNING)
        return pb.CancelVideoResponse(video=self.video_of(run))

    async def DownloadVideo(self, request: Any, context: Any) -> AsyncIterator[pb.DownloadVideoResponse]:  # noqa: N802
        self.offsets.append(request.offset)
        for at in range(request.offset, len(self.data), 1000):
            if self.breaks and at > len(self.data) // 2:
                self.breaks -= 1
                raise StoreUnavailableError("the store went away", retry_after=0.01)
            yield pb.DownloadVideoResponse(data=self.data[at : at + 1000], offset=at, total_bytes=len(self.data))

    async def close(self) -> None:
        """End the runs that are under way, without a trace."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _check(self, settings: pb.VideoSettings) -> None:
        if settings.steps > 100:
            raise InvalidFieldError.of("settings.steps", "is more than 100")

    def _stored(self, name: str) -> bool:
        return not self.loses and self.latest[name].state == pb.VIDEO_STATE_DONE

    def _cached(self, run: Run) -> pb.Video:
        video = self.video_of(run)
        spent = run.report.device_time
        video.report.CopyFrom(
            pb.Report(cached=True, run=run.run, saved_device_ms=spent.text_ms + spent.denoise_ms + spent.decode_ms)
        )
        return video

    def _open(self, name: str, run_id: str) -> Run:
        run = Run(name, run_id or uuid.uuid4().hex)
        self.runs[name, run.run] = self.latest[name] = run
        task = asyncio.create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _work(self, run: Run) -> None:
        run.report.run = run.run
        if not await either(self.queue, run.stop):
            await self._end(run, pb.VIDEO_STATE_CANCELLED)
            return
        run.report.device_time.text_ms = TEXT_MS
        for step in range(1, STEPS + 1):
            run.step = run.report.steps_run = step
            run.report.device_time.denoise_ms += self.step_ms
            async with run.moved:
                run.moved.notify_all()
            if not await either(self.hold, run.stop):
                await self._end(run, pb.VIDEO_STATE_CANCELLED)
                return
            if self.fails:
                await self._end(run, pb.VIDEO_STATE_FAILED)
                return
            await asyncio.sleep(0)
        await self._end(run, pb.VIDEO_STATE_DONE)

    async def _end(self, run: Run, state: pb.VideoState) -> None:
        async with run.moved:
            run.state = state
            run.moved.notify_all()


async def watched(run: Run) -> AsyncIterator[pb.Progress]:
    """Every step from now on, until the run has ended."""
    seen = 0
    while True:
        async with run.moved:
            while run.step == seen and run.state == pb.VIDEO_STATE_RUNNING:
                await run.moved.wait()
            last, ended = run.step, run.state != pb.VIDEO_STATE_RUNNING
            spent = run.progress.device_ms
        for step in range(seen + 1, last + 1):
            yield pb.Progress(stage=pb.STAGE_DENOISE, step=step, steps=STEPS, device_ms=spent)
        seen = last
        if ended:
            return


async def either(event: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for one of the two; whether it was not ``stop``."""
    waits = [asyncio.create_task(event.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return not stop.is_set()


def name_of(prompt: str) -> str:
    return f"videos/{hashlib.sha256(prompt.encode()).hexdigest()}"


async def serve(twin: Twin, bind: str = "127.0.0.1:0") -> Server:
    """The twin behind a real server, serving."""
    register = partial(add_GeneratorServiceServicer_to_server, twin)
    server = Server(ServerConfig(bind=bind, grace_s=0.1), {"reelgate.generator.v1.GeneratorService": register})
    await server.start()
    await server.set_serving(True)
    return server
