"""The contract's side of the service: convert, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from reelgate.generator.v1 import generator_pb2
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceServicer
from reelgate.rpc.errors import InvalidFieldError, NotFoundError, Violation
from reelgate.rpc.identity import current_identity

from .convert import prepared_of, request_of
from .core import Prepared
from .generator import Generator
from .pipeline import Line
from .rules import check_request_id, check_video
from .settings import Settings
from .worker import Worker

Context = Any
"""grpc.aio.ServicerContext; the errors and deadlines that it would be needed for are the interceptors'."""


class PreprocessServicer(PreprocessServiceServicer):
    """PreparePrompt, GenerateVideo and the forwarded calls. The others are not built: the base answers UNIMPLEMENTED."""

    def __init__(self, settings: Settings, lines: Mapping[str, Line], generator: Generator, worker: Worker) -> None:
        self._settings = settings
        self._lines = dict(lines)
        self._generator = generator
        self._worker = worker

    async def PreparePrompt(self, request: pb.PreparePromptRequest, context: Context) -> pb.PreparePromptResponse:
        check_video(request.settings)
        tier, prepared = await self._prepare(request.input, request.settings.tier)
        made = prepared_of(prepared, tier)
        return pb.PreparePromptResponse(
            prompt=made.prompt, negative_prompt=made.negative_prompt, receipt=made.receipt, cost=made.cost
        )

    async def GenerateVideo(
        self, request: pb.GenerateVideoRequest, context: Context
    ) -> AsyncIterator[pb.GenerateVideoResponse]:
        check_video(request.settings, request.post_processing)
        check_request_id(request.request_id)
        tier, prepared = await self._prepare(request.input, request.settings.tier)
        self._generator.admit(tier)
        yield pb.GenerateVideoResponse(prepared=prepared_of(prepared, tier))
        async with aclosing(self._generator.generate(self._forward(request, tier, prepared))) as events:
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

    async def _prepare(self, message: pb.PromptInput, asked_tier: str) -> tuple[str, Prepared]:
        tier = asked_tier or self._settings.default_tier
        if tier not in self._lines:
            raise NotFoundError.of("tier", tier)
        settings = self._settings
        request = request_of(
            message, default_policy=settings.default_policy, emojis=settings.emojis, screening=settings.screening
        )
        try:
            return tier, await self._worker.prepare(self._lines[tier], request)
        except InvalidFieldError as error:
            raise _in_message(error) from error

    def _forward(
        self, request: pb.GenerateVideoRequest, tier: str, prepared: Prepared
    ) -> generator_pb2.GenerateVideoRequest:
        settings = generator_pb2.VideoSettings()
        settings.CopyFrom(request.settings)
        settings.tier = tier
        return generator_pb2.GenerateVideoRequest(
            prompt=prepared.prompt,
            negative_prompt=prepared.negative if request.input.HasField("negative_prompt") else None,
            settings=settings,
            post_processing=request.post_processing,
            tokenizer_fingerprint=prepared.receipt.fingerprint,
            tenant=current_identity().tenant,
        )


def _in_message(error: InvalidFieldError) -> InvalidFieldError:
    """The line names its own fields; in the contract they lie in ``input``."""
    violations = [Violation(subject=f"input.{v.subject}", description=v.description) for v in error.violations]
    return InvalidFieldError(f"input.{error.message}", violations=violations)
