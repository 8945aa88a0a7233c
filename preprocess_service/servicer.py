"""The contract's side of the service: convert, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from reelgate.generator.v1 import generator_pb2
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceServicer
from reelgate.rpc import telemetry
from reelgate.rpc.identity import current_identity

from .budgets.gate import Gate
from .estimates import Estimates
from .generator import Generator
from .preparer import Answer, Preparer
from .rules import check_request_id, check_video

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Context = Any
"""grpc.aio.ServicerContext; the errors and deadlines that it would be needed for are the interceptors'."""


class PreprocessServicer(PreprocessServiceServicer):
    """PreparePrompt, GenerateVideo and the forwarded calls. The others are not built: the base answers UNIMPLEMENTED."""

    def __init__(
        self, preparer: Preparer, generator: Generator, estimates: Estimates, gate: Gate | None = None
    ) -> None:
        """Without a ``gate`` no budgets are kept."""
        self._gate = gate
        self._preparer = preparer
        self._generator = generator
        self._estimates = estimates

    async def PreparePrompt(self, request: pb.PreparePromptRequest, context: Context) -> pb.PreparePromptResponse:
        check_video(request.settings)
        tenant = current_identity().tenant
        answer = await self._prepare(request.input, request.settings.tier, into=pb.PreparePromptResponse)
        await self._estimates.complete(answer.cost, request.settings, answer.receipt.tier, tenant)
        if self._gate is not None:
            if request.check_budget:
                answer.budget.CopyFrom(await self._gate.verdict(_forward(request, answer), answer))
            self._gate.price(answer.cost, answer.receipt.tier)
        return answer

    async def GenerateVideo(
        self, request: pb.GenerateVideoRequest, context: Context
    ) -> AsyncIterator[pb.GenerateVideoResponse]:
        check_video(request.settings, request.post_processing)
        check_request_id(request.request_id)
        made = await self._prepare(request.input, request.settings.tier, into=pb.PreparedPrompt)
        self._generator.admit(made.receipt.tier)
        forward = _forward(request, made, request.post_processing)
        if self._gate is not None:
            async with aclosing(self._gate.generate(forward, made, request.request_id)) as answers:
                async for answer in answers:
                    yield answer
            return
        yield pb.GenerateVideoResponse(prepared=made)
        async with aclosing(self._generator.generate(forward)) as events:
            async for event in events:
                if kind := event.WhichOneof("event"):
                    yield pb.GenerateVideoResponse(**{kind: getattr(event, kind)})

    async def GetVideo(self, request: pb.GetVideoRequest, context: Context) -> pb.GetVideoResponse:
        return pb.GetVideoResponse(video=await self._generator.get(request.name, current_identity().tenant))

    async def CancelVideo(self, request: pb.CancelVideoRequest, context: Context) -> pb.CancelVideoResponse:
        return pb.CancelVideoResponse(video=await self._generator.cancel(request.name, current_identity().tenant))

    async def DownloadVideo(
        self, request: pb.DownloadVideoRequest, context: Context
    ) -> AsyncIterator[pb.DownloadVideoResponse]:
        tenant = current_identity().tenant
        async with aclosing(self._generator.download(request.name, tenant, request.offset)) as parts:
            async for part in parts:
                yield pb.DownloadVideoResponse(data=part.data, offset=part.offset, total_bytes=part.total_bytes)

    async def ListVideos(self, request: pb.ListVideosRequest, context: Context) -> pb.ListVideosResponse:
        tenant = current_identity().tenant
        page = await self._generator.videos(tenant, request.page_size, request.page_token)
        return pb.ListVideosResponse(videos=page.videos, next_page_token=page.next_page_token)

    async def _prepare(self, message: pb.PromptInput, tier: str, *, into: type[Answer]) -> Answer:
        with telemetry.span("prepare") as span:
            made = await self._preparer.prepare(message, tier=tier, tenant=current_identity().tenant, into=into)
            if span is not None:
                _tell(span, made.receipt)
            return made


def _forward(
    request: pb.GenerateVideoRequest | pb.PreparePromptRequest,
    made: pb.PreparedPrompt | pb.PreparePromptResponse,
    post_processing: generator_pb2.PostProcessing | None = None,
) -> generator_pb2.GenerateVideoRequest:
    settings = generator_pb2.VideoSettings()
    settings.CopyFrom(request.settings)
    settings.tier = made.receipt.tier
    return generator_pb2.GenerateVideoRequest(
        prompt=made.prompt,
        negative_prompt=made.negative_prompt if request.input.HasField("negative_prompt") else None,
        settings=settings,
        post_processing=post_processing,
        tokenizer_fingerprint=made.receipt.tokenizer_fingerprint,
        tenant=current_identity().tenant,
    )


def _tell(span: Span, receipt: pb.Receipt) -> None:
    """The line's stages as events. A hit tells those of the prompt that it is a hit on."""
    span.set_attribute("reelgate.cache", pb.CacheResult.Name(receipt.cache))
    for stage in receipt.stages:
        about = {"reelgate.tokens_in": stage.tokens_in, "reelgate.tokens_out": stage.tokens_out}
        span.add_event(stage.stage, {**about, "reelgate.duration_us": stage.duration_us})
