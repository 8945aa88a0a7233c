"""A real client against the real service, with a small real generator behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from preprocess_service import tokens
from preprocess_service.app import running
from preprocess_service.settings import Settings, embedded_tokenizer
from reelgate.generator.v1 import generator_pb2 as gen
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.errors import (
    GeneratorUnavailableError,
    InvalidFieldError,
    NotBuiltError,
    NotFoundError,
    PromptRejectedError,
    PromptTokensExceededError,
    ProtectedTermsError,
    ReelgateError,
    TokenizerMismatchError,
)
from reelgate.rpc.server import Server
from reelgate.rpc.status import typed_errors

from .generator_twin import BYTES, Twin, serve

RED = pb.PromptInput(text="A red ball rolls to the left.")
FINGERPRINT = tokens.fingerprint_of(embedded_tokenizer())


@dataclass
class Setup:
    """The service, its client, and the generator behind it."""

    stub: PreprocessServiceStub
    health: health_pb2_grpc.HealthStub
    channel: grpc.aio.Channel
    twin: Twin
    twin_server: Server
    twin_address: str
    ready: asyncio.Event

    async def prepare(self, **fields: object) -> pb.PreparePromptResponse:
        with typed_errors():
            answer: pb.PreparePromptResponse = await self.stub.PreparePrompt(
                pb.PreparePromptRequest(**fields), timeout=20
            )
            return answer

    async def generate(self, **fields: object) -> list[pb.GenerateVideoResponse]:
        with typed_errors():
            call = self.stub.GenerateVideo(pb.GenerateVideoRequest(**fields), timeout=20)
            return [event async for event in call]

    async def serving(self) -> bool:
        answer = await self.health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with started({"embedded": FINGERPRINT}) as each:
        await asyncio.wait_for(each.ready.wait(), 10)
        yield each


@contextlib.asynccontextmanager
async def started(
    fingerprints: dict[str, str], screening: Literal["observe", "flag", "reject"] = "flag"
) -> AsyncIterator[Setup]:
    twin = Twin(fingerprints)
    twin_server = await serve(twin)
    address = f"127.0.0.1:{twin_server.port}"
    settings = Settings(
        address="127.0.0.1:0", generator=address, probe_seconds=0.05, drain_seconds=0.2, screening=screening
    )
    async with running(settings) as app:
        channel = connect(ChannelConfig(target=f"127.0.0.1:{app.server.port}", attempts=1))
        yield Setup(
            stub=PreprocessServiceStub(channel),
            health=health_pb2_grpc.HealthStub(channel),
            channel=channel,
            twin=twin,
            twin_server=twin_server,
            twin_address=address,
            ready=app.ready,
        )
        await channel.close()
    await twin_server.stop()


async def test_prepare_answers_with_prompt_and_receipt(setup: Setup, long_prompt: str) -> None:
    answer = await setup.prepare(input=pb.PromptInput(text=long_prompt, keywords=["brick wall"]))
    receipt = answer.receipt
    assert receipt.tokens_after == tokens.load(embedded_tokenizer()).count(answer.prompt) <= receipt.target_tokens == 64
    assert receipt.tokens_before > receipt.tokens_after
    assert receipt.deep_compression
    assert receipt.fidelity.passed
    assert (receipt.fidelity.rung, receipt.compressor) == ("extractive", pb.COMPRESSOR_EXTRACTIVE)
    assert receipt.tokenizer_fingerprint == FINGERPRINT
    assert all(long_prompt[c.start : c.end] == c.original for c in receipt.changes)
    assert [t.survived for t in receipt.protected_terms if t.source == "keyword"] == [True]
    assert answer.cost.tokens == receipt.tokens_after


async def test_the_dry_run_says_what_the_device_would_spend_and_asks_once_for_a_shape(setup: Setup) -> None:
    for text in ("A red ball rolls.", "A blue ring rises."):
        answer = await setup.prepare(input=pb.PromptInput(text=text), settings=gen.VideoSettings(steps=7))
        assert (answer.cost.device_ms_p50, answer.cost.device_ms_p95) == (1007, 2000)
    assert [(each.settings.tier, each.settings.steps, each.tenant) for each in setup.twin.estimated] == [
        ("embedded", 7, "local")
    ]
    await setup.prepare(input=RED, settings=gen.VideoSettings(steps=8))
    assert len(setup.twin.estimated) == 2


async def test_a_prompt_is_prepared_where_there_is_no_estimate(setup: Setup) -> None:
    setup.twin.measured = False
    answer = await setup.prepare(input=RED)
    assert answer.prompt
    assert not answer.cost.HasField("device_ms_p50")
    assert len(setup.twin.estimated) == 1


async def test_stuffing_is_flagged_in_the_receipt_or_rejected_with_its_signals() -> None:
    stuffed = pb.PromptInput(text="a red ball rolls " * 40)
    async with started({"embedded": FINGERPRINT}) as flagging:
        receipt = (await flagging.prepare(input=stuffed)).receipt
    assert receipt.screening.verdict == pb.SCREENING_VERDICT_FLAGGED
    assert "repetition" in [signal.name for signal in receipt.screening.signals]
    assert "screening:repetition" in receipt.warnings
    async with started({"embedded": FINGERPRINT}, "reject") as rejecting:
        with pytest.raises(PromptRejectedError) as caught:
            await rejecting.prepare(input=stuffed)
    assert caught.value.reason == "PROMPT_REJECTED"
    assert "repetition" in caught.value.metadata


async def test_a_mark_and_a_ratio_travel(setup: Setup, long_prompt: str) -> None:
    text = long_prompt.replace("sense of anticipation", "[[sense of anticipation]]")
    answer = await setup.prepare(input=pb.PromptInput(text=text, ratio=0.3))
    assert "sense of anticipation" in answer.prompt
    assert answer.receipt.tokens_after <= 0.3 * answer.receipt.tokens_before
    assert [t.term for t in answer.receipt.protected_terms if t.source == "marked"] == ["sense of anticipation"]


async def test_fields_become_a_prompt(setup: Setup) -> None:
    structured = pb.StructuredPrompt(subject="a red ball", style="oil painting", camera="zoom in")
    assert (
        await setup.prepare(input=pb.PromptInput(structured=structured))
    ).prompt == "a red ball, oil painting, zoom in"


async def test_a_run_starts_with_the_receipt_and_then_streams(setup: Setup) -> None:
    events = await setup.generate(
        input=RED, settings=gen.VideoSettings(frames=9), post_processing=gen.PostProcessing(fps=8)
    )
    assert [e.WhichOneof("event") for e in events] == ["prepared", "accepted", *["progress"] * 3, "video"]
    (asked,) = setup.twin.asked
    assert asked.prompt == events[0].prepared.prompt == RED.text
    assert (asked.tenant, asked.settings.tier, asked.settings.frames) == ("local", "embedded", 9)
    assert asked.tokenizer_fingerprint == FINGERPRINT
    assert not asked.HasField("negative_prompt")
    assert setup.twin.timeouts[0] is not None
    assert setup.twin.timeouts[0] <= 20.5  # gRPC sends a deadline in coarse steps, and rounds up


async def test_an_own_negative_prompt_is_sent_even_when_empty(setup: Setup) -> None:
    for negative in ("", "blurry"):
        await setup.generate(input=pb.PromptInput(text="a ball", negative_prompt=negative))
    assert [(a.HasField("negative_prompt"), a.negative_prompt) for a in setup.twin.asked] == [
        (True, ""),
        (True, "blurry"),
    ]


async def test_a_client_that_leaves_does_not_cancel_the_video(setup: Setup) -> None:
    setup.twin.hold.clear()
    call = setup.stub.GenerateVideo(pb.GenerateVideoRequest(input=RED), timeout=20)
    for _ in range(3):
        await call.read()
    call.cancel()
    await asyncio.wait_for(setup.twin.closed.wait(), 5)
    assert setup.twin.cancelled == []


async def test_get_cancel_and_download_are_forwarded(setup: Setup) -> None:
    video = (await setup.stub.GetVideo(pb.GetVideoRequest(name="videos/a"), timeout=5)).video
    assert (video.name, video.media_type) == ("videos/a", "local")
    cancelled = await setup.stub.CancelVideo(pb.CancelVideoRequest(name="videos/a"), timeout=5)
    assert cancelled.video.state == gen.VIDEO_STATE_CANCELLED
    parts = [p async for p in setup.stub.DownloadVideo(pb.DownloadVideoRequest(name="videos/a", offset=700), timeout=5)]
    assert b"".join(p.data for p in parts) == BYTES[700:]
    assert parts[0].offset == 700


async def test_a_list_is_forwarded_page_by_page(setup: Setup) -> None:
    for prompt in ("a cat", "a dog", "a bird"):
        asked = pb.GenerateVideoRequest(input=pb.PromptInput(text=prompt))
        assert [event async for event in setup.stub.GenerateVideo(asked, timeout=10)]
    first = await setup.stub.ListVideos(pb.ListVideosRequest(page_size=2), timeout=5)
    rest = await setup.stub.ListVideos(pb.ListVideosRequest(page_size=2, page_token=first.next_page_token), timeout=5)
    assert (len(first.videos), len(rest.videos), rest.next_page_token) == (2, 1, "")


async def test_what_is_not_built_says_so(setup: Setup) -> None:
    with pytest.raises(NotBuiltError), typed_errors():
        await setup.stub.ExtendVideo(pb.ExtendVideoRequest(), timeout=5).read()


VIDEO = gen.VideoSettings
BAD = {
    "empty": (pb.PromptInput(), VIDEO(), InvalidFieldError, "input.text"),
    "blank": (pb.PromptInput(text=" \n"), VIDEO(), InvalidFieldError, "input.text"),
    "a megabyte": (pb.PromptInput(text="a cat " * 175_000), VIDEO(), InvalidFieldError, "input.text"),
    "only controls": (pb.PromptInput(text="\x01\x02\u200b"), VIDEO(), InvalidFieldError, "input.text"),
    "16 frames": (RED, VIDEO(frames=16), InvalidFieldError, "settings.frames"),
    "100x100": (RED, VIDEO(width=100, height=100), InvalidFieldError, "settings.width"),
    "width alone": (RED, VIDEO(width=64), InvalidFieldError, "settings.width"),
    "frames and duration": (RED, VIDEO(frames=9, duration=Duration(seconds=1)), InvalidFieldError, "settings.duration"),
    "negative seed": (RED, VIDEO(seed=-1), InvalidFieldError, "settings.seed"),
    "guidance": (RED, VIDEO(guidance_scale=float("nan")), InvalidFieldError, "settings.guidance_scale"),
    "10,000 keywords": (
        pb.PromptInput(text="a cat", keywords=[f"k{n}" for n in range(10_000)]),
        VIDEO(),
        InvalidFieldError,
        "input.keywords",
    ),
    "policy": (pb.PromptInput(text="a cat", policy="cheap"), VIDEO(), InvalidFieldError, "input.policy"),
    "tier": (RED, VIDEO(tier="nosuch"), NotFoundError, "tier"),
    "template": (pb.PromptInput(text="a cat", template="nosuch"), VIDEO(), NotFoundError, "template"),
    "passthrough over the window": (
        pb.PromptInput(text="a red ball " * 400, policy="passthrough"),
        VIDEO(),
        PromptTokensExceededError,
        "",
    ),
    "keywords that cannot fit": (
        pb.PromptInput(
            text=" ".join(f"unpronounceable-{n}-zxq" for n in range(40)),
            keywords=[f"unpronounceable-{n}-zxq" for n in range(40)],
        ),
        VIDEO(),
        ProtectedTermsError,
        "",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_gets_its_status_and_the_next_request_works(setup: Setup, name: str) -> None:
    prompt, settings, kind, where = BAD[name]
    for call in (setup.prepare, setup.generate):
        with pytest.raises(kind) as caught:
            await call(input=prompt, settings=settings)
        error: ReelgateError = caught.value
        assert error.request_id
        if kind is InvalidFieldError:
            assert error.violations[0].subject == where
        elif kind is NotFoundError:
            assert error.resource is not None
            assert error.resource.kind == where
            assert ("Name one of these: embedded" in error.next_step) == (where == "tier")
    assert setup.twin.asked == []
    assert (await setup.prepare(input=RED)).prompt == RED.text


async def test_text_that_is_not_utf8_is_refused(setup: Setup) -> None:
    raw = b"\x0a\x06\x0a\x04\xff\xfe\xfd\xfc"
    method = setup.channel.unary_unary("/reelgate.preprocess.v1.PreprocessService/PreparePrompt")
    with pytest.raises(grpc.RpcError) as caught:
        await method(raw, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await setup.prepare(input=RED)).prompt == RED.text


async def test_the_generators_own_refusal_comes_through(setup: Setup) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await setup.generate(input=RED, settings=VIDEO(steps=1000))
    assert caught.value.violations[0].subject == "settings.steps"


async def test_without_the_generator_preparing_works_and_generating_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(address="127.0.0.1:0", generator=dead, probe_seconds=0.05, drain_seconds=0.1)
        async with (
            running(settings) as app,
            connect(ChannelConfig(target=f"127.0.0.1:{app.server.port}", attempts=1)) as channel,
        ):
            stub = PreprocessServiceStub(channel)
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await stub.PreparePrompt(pb.PreparePromptRequest(input=RED), timeout=5)).prompt == RED.text
            began = time.monotonic()
            with pytest.raises(GeneratorUnavailableError) as caught, typed_errors():
                async for _ in stub.GenerateVideo(pb.GenerateVideoRequest(input=RED), timeout=5):
                    pass
            assert caught.value.retry_after
            assert time.monotonic() - began < 5


async def test_while_the_generator_loads_its_models_a_client_hears_it(setup: Setup) -> None:
    assert await setup.serving()
    await setup.twin_server.stop()
    await until(lambda: not setup.ready.is_set())
    setup.twin.loading = True
    again = await serve(setup.twin, setup.twin_address)

    async def refusal() -> str:
        with pytest.raises(GeneratorUnavailableError) as caught:
            await setup.generate(input=RED)
        return caught.value.message

    async with asyncio.timeout(15):
        while (said := await refusal()) == "the generator cannot be reached":  # noqa: ASYNC110 - as the gate sees it
            await asyncio.sleep(0.05)
    assert said == "the generator is not ready: the models are still being loaded"
    setup.twin.loading = False
    await asyncio.wait_for(setup.ready.wait(), 15)
    assert (await setup.generate(input=RED))[-1].WhichOneof("event") == "video"
    await again.stop()


async def test_it_recovers_when_the_generator_comes_back(setup: Setup) -> None:
    assert await setup.serving()
    await setup.twin_server.stop()
    await until(lambda: not setup.ready.is_set())
    assert not await setup.serving()
    with pytest.raises(GeneratorUnavailableError):
        await setup.generate(input=RED)
    again = await serve(setup.twin, setup.twin_address)
    await asyncio.wait_for(setup.ready.wait(), 15)
    assert (await setup.generate(input=RED))[-1].WhichOneof("event") == "video"
    await again.stop()


async def test_a_generator_killed_mid_video_is_unavailable(setup: Setup) -> None:
    setup.twin.hold.clear()
    call = setup.stub.GenerateVideo(pb.GenerateVideoRequest(input=RED), timeout=20)
    for _ in range(3):
        await call.read()
    await setup.twin_server.stop()
    with pytest.raises(GeneratorUnavailableError), typed_errors(GeneratorUnavailableError):
        async for _ in call:
            pass


async def test_another_tokenizer_is_noticed_before_anything_is_sent() -> None:
    async with started({"embedded": "0" * 64}) as each:
        await until(lambda: each.twin_server.port > 0)
        with pytest.raises((TokenizerMismatchError, GeneratorUnavailableError)):
            await each.generate(input=RED)
        await asyncio.sleep(0.3)
        with pytest.raises(TokenizerMismatchError):
            await each.generate(input=RED)
        assert not await each.serving()
        assert each.twin.asked == []


async def until(condition: object, seconds: float = 15) -> None:
    """Wait for something that another task brings about."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
