"""The typed client of the other side, and the watch over whether it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import grpc

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.errors import GeneratorUnavailableError, NotFoundError, ReelgateError, TokenizerMismatchError
from reelgate.rpc.status import typed_errors

log = logging.getLogger(__name__)
NOT_REACHED = "the generator cannot be reached"
PROBE_TIMEOUT = 5.0
ESTIMATE_TIMEOUT = 0.5


class Generator:
    """One generator. Make it inside the running loop. Every method raises the errors of reelgate.rpc.errors.

    Deadline and request id of the call under way are passed on by the channel. ``fingerprints`` (tier -> sha256) are those
    of our own tokenizers; a tier is open once the generator counts with the same one.
    """

    def __init__(self, config: ChannelConfig, fingerprints: Mapping[str, str], *, probe_seconds: float) -> None:
        self._channel = connect(config)
        self._stub = GeneratorServiceStub(self._channel)
        self._fingerprints = dict(fingerprints)
        self._probe_seconds = probe_seconds
        self._theirs: dict[str, str] | None = None
        self._why = NOT_REACHED

    @property
    def open_tiers(self) -> frozenset[str]:
        """Tiers that both sides count alike; none while the generator cannot be reached."""
        theirs = self._theirs or {}
        return frozenset(tier for tier, ours in self._fingerprints.items() if theirs.get(tier) == ours)

    def admit(self, tier: str) -> None:
        """Raise unless a request for ``tier`` can be forwarded now."""
        if self._theirs is None:
            raise GeneratorUnavailableError(self._why)
        if tier not in self._theirs:
            raise NotFoundError.of("tier", tier, known=self.open_tiers)
        if tier not in self.open_tiers:
            raise TokenizerMismatchError(f"the generator counts with another tokenizer for the tier {tier}")

    async def watch(self, changed: Callable[[bool], Awaitable[None]]) -> None:
        """For ever: ask for the model whenever the connection changes, and tell ``changed`` whether any tier is open."""
        while True:
            await self._probe()
            await changed(bool(self.open_tiers))
            state = self._channel.get_state(try_to_connect=True)
            steady = self._theirs is not None and state is grpc.ChannelConnectivity.READY
            try:
                # While connected only the connection's end wakes us; without it gRPC's own reconnecting, or the pause.
                wait = self._channel.wait_for_state_change(state)
                await asyncio.wait_for(wait, None if steady else self._probe_seconds)
            except TimeoutError:
                continue

    async def _probe(self) -> None:
        try:
            with typed_errors(GeneratorUnavailableError):
                model = await self._stub.GetModel(pb.GetModelRequest(), timeout=PROBE_TIMEOUT)
        except ReelgateError as error:
            if self._theirs is not None:
                log.warning("generator lost", extra={"reason": error.reason})
            self._theirs = None
            # One that answers says itself what it waits for, such as its models.
            self._why = f"the generator is not ready: {error.message}" if error.answered else NOT_REACHED
            return
        if self._theirs is None:
            log.info("generator found", extra={"tiers": [tier.name for tier in model.tiers]})
        self._theirs = {tier.name: tier.tokenizer_fingerprint for tier in model.tiers}
        for tier in self._fingerprints.keys() & self._theirs.keys() - self.open_tiers:
            facts = {"tier": tier, "ours": self._fingerprints[tier], "generator": self._theirs[tier]}
            log.error("tokenizer mismatch: name the model's folder in REELGATE_PREPROCESS_TOKENIZERS", extra=facts)

    async def generate(self, request: pb.GenerateVideoRequest) -> AsyncGenerator[pb.GenerateVideoResponse, None]:
        """The events of a run. Leaving the iterator closes the stream and leaves the run alone."""
        call = self._stub.GenerateVideo(request)
        try:
            with typed_errors(GeneratorUnavailableError):
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def estimate(
        self, request: pb.EstimateVideoRequest, *, within: float = ESTIMATE_TIMEOUT
    ) -> pb.EstimateVideoResponse:
        """What a video would take of the device; where ``request`` has a prompt, also which video and run it would be. Soon or not
        at all: somebody waits for a prompt."""
        with typed_errors(GeneratorUnavailableError):
            answer: pb.EstimateVideoResponse = await self._stub.EstimateVideo(request, timeout=within)
            return answer

    async def get(self, name: str, tenant: str, run: str = "", *, within: float | None = None) -> pb.Video:
        """The state of one video; with ``run``, of that run of it. Raises NotFoundError for a run that was never accepted."""
        asked = pb.GetVideoRequest(name=name, tenant=tenant, run=run)
        with typed_errors(GeneratorUnavailableError):
            return (await self._stub.GetVideo(asked, timeout=within)).video

    async def cancel(self, name: str, tenant: str, run: str = "", *, within: float | None = None) -> pb.Video:
        """Stop the run of one video; with ``run``, that one and no other, and one that was not accepted yet never opens."""
        asked = pb.CancelVideoRequest(name=name, tenant=tenant, run=run)
        with typed_errors(GeneratorUnavailableError):
            return (await self._stub.CancelVideo(asked, timeout=within)).video

    async def videos(self, tenant: str, page_size: int, page_token: str) -> pb.ListVideosResponse:
        """One page of the tenant's videos, newest first."""
        asked = pb.ListVideosRequest(tenant=tenant, page_size=page_size, page_token=page_token)
        with typed_errors(GeneratorUnavailableError):
            answer: pb.ListVideosResponse = await self._stub.ListVideos(asked)
            return answer

    async def download(self, name: str, tenant: str, offset: int) -> AsyncGenerator[pb.DownloadVideoResponse, None]:
        """The bytes of one video from ``offset`` on."""
        call = self._stub.DownloadVideo(pb.DownloadVideoRequest(name=name, tenant=tenant, offset=offset))
        try:
            with typed_errors(GeneratorUnavailableError):
                async for part in call:
                    yield part
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
