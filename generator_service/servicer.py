"""GeneratorService on the wire: every method converts, calls and converts back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from generator_service import catalogue, convert, core, rules
from generator_service.admission import DeadlineError, TooLargeError
from generator_service.breaker import BreakerOpenError
from generator_service.catalogue import Entry
from generator_service.door import StoppingError
from generator_service.estimate import Estimate
from generator_service.inquiry import AcceptingError, Known, Outlook
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.scheduler import QueueFullError
from generator_service.store import Record, Store, StoreUnavailableError
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1 import generator_pb2_grpc as rpc
from reelgate.rpc import errors, telemetry
from reelgate.rpc.identity import ROLE_GATE, current_identity

if TYPE_CHECKING:
    from generator_service.engine import Engine

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
PAGE, PAGE_MOST = 100, 1000
# Videos of a page that the store is asked about at a time.
AT_ONCE = 16
Context = grpc.aio.ServicerContext[object, object]


class GeneratorServicer(rpc.GeneratorServiceServicer):
    """``engines`` stays empty until `serve` is called: what needs a model answers GENERATOR_UNAVAILABLE till then."""

    def __init__(self, runner: Runner, store: Store, default_tier: str) -> None:
        self._runner = runner
        self._store = store
        self._default_tier = default_tier
        self._engines: Mapping[str, Engine] = {}

    def serve(self, engines: Mapping[str, Engine]) -> None:
        """The models are loaded."""
        self._engines = engines

    async def GenerateVideo(
        self, message: pb.GenerateVideoRequest, context: Context
    ) -> AsyncIterator[pb.GenerateVideoResponse]:
        wanted = convert.wanted(message, _tenant(message.tenant))
        request = await asyncio.to_thread(rules.resolve, wanted, self._ready(), self._default_tier)
        proposed = message.run if ROLE_GATE in current_identity().roles else ""
        run, attached = await self._submit(request, context.time_remaining(), proposed)
        telemetry.annotate(video=request.name, attached=attached)
        yield pb.GenerateVideoResponse(accepted=self._accepted(run, attached))
        async for progress in run.follow():
            yield pb.GenerateVideoResponse(progress=convert.progress(progress))
        yield pb.GenerateVideoResponse(video=await self._finished(run))

    async def GetVideo(self, message: pb.GetVideoRequest, context: Context) -> pb.GetVideoResponse:
        return pb.GetVideoResponse(video=await self._video(message.name, _tenant(message.tenant), message.run))

    async def CancelVideo(self, message: pb.CancelVideoRequest, context: Context) -> pb.CancelVideoResponse:
        tenant = _tenant(message.tenant)
        if message.run and ROLE_GATE in current_identity().roles:
            await self._bar(message.name, message.run)
        # Whose it is, and whether it was at all; raises where it was not.
        await self._video(message.name, tenant, message.run)
        with _store_errors():
            await self._runner.cancel(message.name, message.run)
        return pb.CancelVideoResponse(video=await self._video(message.name, tenant, message.run))

    async def DownloadVideo(
        self, message: pb.DownloadVideoRequest, context: Context
    ) -> AsyncIterator[pb.DownloadVideoResponse]:
        await self._record(message.name, _tenant(message.tenant))
        with _store_errors():
            stored = await asyncio.to_thread(self._store.video, message.name)
        if stored is None:
            raise errors.NotFoundError(
                f"{message.name} is not finished",
                resource=errors.Resource(kind="video", name=message.name),
                next_step="Ask for the video again, and download it once it is done.",
            )
        data = stored[1]
        if message.offset > len(data):
            raise errors.InvalidFieldError.of("offset", f"is {message.offset}, the file has {len(data)} bytes")
        for start in range(message.offset, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            yield pb.DownloadVideoResponse(data=piece, offset=start, total_bytes=len(data))

    async def ListVideos(self, message: pb.ListVideosRequest, context: Context) -> pb.ListVideosResponse:
        tenant = _tenant(message.tenant)
        size, after = _page(message, tenant)
        with _store_errors():
            entries = await asyncio.to_thread(self._store.catalogue.page, tenant, after, size + 1)
        few = asyncio.Semaphore(AT_ONCE)
        found = await asyncio.gather(*(self._listed(entry, tenant, few) for entry in entries[:size]))
        answer = pb.ListVideosResponse(videos=[video for video in found if video is not None])
        if len(entries) > size:
            answer.next_page_token = catalogue.token_of(tenant, entries[size - 1])
        return answer

    async def GetModel(self, message: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        engines = self._ready().values()
        tiers = [convert.tier(engine, engine.parts.weights, engine.settings) for engine in engines]
        return pb.GetModelResponse(tiers=tiers, default_tier=self._default_tier)

    def _ready(self) -> Mapping[str, Engine]:
        if not self._engines:
            raise errors.GeneratorUnavailableError("the models are still being loaded")
        return self._engines

    async def EstimateVideo(self, message: pb.EstimateVideoRequest, context: Context) -> pb.EstimateVideoResponse:
        models, wanted = self._ready(), convert.estimate_wanted(message, _tenant(message.tenant))
        request = await asyncio.to_thread(rules.resolve, wanted, models, self._default_tier)
        admission = self._runner.governor.admission
        if admission is None:
            raise errors.GeneratorUnavailableError("the models are still being loaded")
        outlook = Outlook()
        if message.HasField("prompt"):
            with _store_errors():
                outlook = await self._runner.outlook(request)
        estimate = admission.estimate(request.take, core.UNTIL_LATENTS if outlook.denoised else frozenset())
        if outlook.stored is not None:
            estimate = Estimate(p50=0.0, p95=0.0)
        answer = convert.estimate(estimate, admission.fit(request.take))
        if message.HasField("prompt"):
            answer.MergeFrom(convert.outlook(request, outlook))
        return answer

    async def _submit(self, request: core.Request, left: float | None, proposed: str) -> tuple[Run, bool]:
        try:
            with _store_errors():
                return await self._runner.submit(request, left=left, proposed=proposed)
        except QueueFullError as error:
            raise errors.QueueFullError("as many requests wait as may wait", retry_after=error.retry_after) from None
        except TooLargeError as error:
            fit = error.fit
            raise errors.RequestTooLargeError.of(predicted_bytes=fit.predicted, available_bytes=fit.available) from None
        except DeadlineError as error:
            facts = {"estimate_ms": str(round(1000 * error.seconds)), "deadline_ms": str(round(1000 * error.left))}
            raise errors.DeadlineUnreachableError(str(error), metadata=facts) from None
        except BreakerOpenError as error:
            facts = {"tier": error.tier, "breaker": "open"}
            raise errors.GeneratorUnavailableError(str(error), metadata=facts, retry_after=error.retry_after) from None
        except StoppingError:
            raise errors.GeneratorUnavailableError("the service is going away") from None

    def _accepted(self, run: Run, attached: bool) -> pb.VideoAccepted:
        request = run.request
        return pb.VideoAccepted(
            name=request.name,
            take=request.take_name,
            settings=convert.settings(request.take),
            post_processing=convert.post_processing(request.finish),
            warnings=rules.warnings(request.take.prompt, self._engines[request.take.tier].tier),
            attached=attached,
            run=run.id,
            cached=run.report is not None and run.report.reuse is core.Reuse.VIDEO,
        )

    async def _finished(self, run: Run) -> pb.Video:
        """The video of a run that is over, or the error that its report stands for."""
        report = await run.wait()
        if report is None:
            raise errors.GeneratorUnavailableError("the service is going away; ask again")
        if report.outcome is core.Outcome.CANCELLED:
            raise errors.VideoCancelledError("the video was cancelled", metadata={"name": run.name, "run": run.id})
        if report.failure is not None and report.failure.reason == "STORE_UNAVAILABLE":
            raise errors.StoreUnavailableError(report.failure.cause)
        if report.failure is not None:
            raise errors.GenerationFailedError.of(stage=report.failure.stage.value, cause=report.failure.cause)
        with _store_errors():
            record = await asyncio.to_thread(self._store.record, run.name)
        return convert.video(run.request, report, accepted_ms=record.accepted_ms if record else 0)

    async def _video(self, name: str, tenant: str, wanted: str = "") -> pb.Video:
        if wanted:
            return await self._video_of_run(name, tenant, wanted)
        # A run stores its report before it leaves the active ones, so one of the two always knows how it ended.
        run = self._runner.active(name)
        return await self._as_it_is(await self._record(name, tenant), run)

    async def _listed(self, entry: Entry, tenant: str, few: asyncio.Semaphore) -> pb.Video | None:
        """None where the entry does not count: the video is gone, was accepted again since, or never was."""
        async with few:
            run = self._runner.active(entry.name)
            with _store_errors():
                record = await asyncio.to_thread(self._store.record, entry.name)
            if record is None or (record.request.take.tenant, record.listed_ms) != (tenant, entry.accepted_ms):
                return None
            return await self._as_it_is(record, run)

    async def _as_it_is(self, record: Record, run: Run | None) -> pb.Video:
        """``run`` was active before ``record`` was read."""
        name = record.request.name
        run = run or self._runner.active(name)
        report = run.report if run and run.report else record.report
        running, current = None, record.run
        if report is None:
            with _store_errors():
                running = await self._runner.where(name)
                current = run.id if run else current or await asyncio.to_thread(self._runner.inquiry.current, name)
        return convert.video(record.request, report, accepted_ms=record.accepted_ms, running=running, run=current)

    async def _video_of_run(self, name: str, tenant: str, wanted: str) -> pb.Video:
        _check_run(wanted)
        known = await self._known(name, wanted)
        if known is None or known.record.request.take.tenant != tenant:
            raise errors.NotFoundError.of("run", wanted) if known is None else errors.NotFoundError.of("video", name)
        record, running = known.record, None
        if known.report is None:
            with _store_errors():
                running = await self._runner.where(name)
        return convert.video(record.request, known.report, accepted_ms=record.accepted_ms, running=running, run=wanted)

    async def _known(self, name: str, run: str) -> Known | None:
        _check_name(name)
        try:
            with _store_errors():
                return await asyncio.to_thread(self._runner.inquiry.of_run, name, run)
        except AcceptingError:
            raise errors.GeneratorUnavailableError("the run is being accepted in this moment") from None

    async def _bar(self, name: str, run: str) -> None:
        """A run that was never accepted is not to be accepted after we have said so: somebody gives back what it would have cost.

        Written first, looked at again by the caller afterwards; whoever accepts claims first, and looks here afterwards. So one of
        the two sees the other.
        """
        _check_run(run)
        if await self._known(name, run) is None:
            with _store_errors():
                await asyncio.to_thread(self._store.bar, name, run)

    async def _record(self, name: str, tenant: str) -> Record:
        """What the store knows of the tenant's own video; another's does not exist."""
        _check_name(name)
        with _store_errors():
            record = await asyncio.to_thread(self._store.record, name)
        if record is None or record.request.take.tenant != tenant:
            raise errors.NotFoundError.of("video", name)
        return record


def _check_name(name: str) -> None:
    if not core.VIDEO_NAME.fullmatch(name):
        raise errors.InvalidFieldError.of("name", "must be videos/ and 64 hex digits")


def _check_run(run: str) -> None:
    if not core.RUN_ID.fullmatch(run):
        raise errors.InvalidFieldError.of("run", rules.NO_RUN)


def _page(message: pb.ListVideosRequest, tenant: str) -> tuple[int, str]:
    """How many, and the key of the catalogue behind which they begin."""
    if message.page_size > PAGE_MOST:
        raise errors.InvalidFieldError.of("page_size", f"is {message.page_size}, at most {PAGE_MOST}")
    after = catalogue.place_of(tenant, message.page_token) if message.page_token else ""
    if after is None:
        raise errors.InvalidFieldError.of("page_token", "is not of this list: send what the page before gave")
    return message.page_size or PAGE, after


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        log.error("the store failed", exc_info=error)
        raise errors.StoreUnavailableError("the artefact store is full or gone") from None


def _tenant(asked: str) -> str:
    return current_identity().tenant_for(asked)
