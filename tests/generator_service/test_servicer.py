"""A real client against a real server on loopback, over random weights."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from generator_service import core
from generator_service.app import running
from generator_service.claims import Claims
from generator_service.engine import Engine
from generator_service.settings import Settings
from generator_service.store import Store
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.status import from_rpc_error
from tests.generator_service.client import ask, made, refused

NOBODYS = "videos/" + "0" * 64


async def to_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_a_video_from_the_first_message_to_the_last_byte(stub: GeneratorServiceStub) -> None:
    messages = await made(stub, ask(seed=5))
    assert messages[0].WhichOneof("event") == "accepted"
    accepted, video = messages[0].accepted, messages[-1].video
    assert (accepted.name, accepted.settings.frames, accepted.settings.guidance_scale) == (video.name, 5, 4.0)
    steps = [m.progress.step for m in messages if m.progress.stage == pb.STAGE_DENOISE]
    # Quick steps between the first and the last need not be told.
    assert (steps[0], steps[-1], steps) == (1, 4, sorted(set(steps)))
    assert (video.state, video.media_type) == (pb.VIDEO_STATE_DONE, "video/mp4")
    assert (video.report.steps_run, video.report.steps_reused, video.report.cached) == (4, 0, False)
    spent = video.report.device_time
    assert min(spent.denoise_high_ms, spent.denoise_low_ms) > 0
    assert 0 <= spent.denoise_ms - spent.denoise_high_ms - spent.denoise_low_ms <= 1
    assert video.report.prompt_tokens > 0
    assert (video.report.memory_rung, video.report.tiled_decode) == (pb.MEMORY_RUNG_PLAIN, False)
    assert set(video.report.versions) == {"torch", "diffusers", "processor"}
    pieces = [piece async for piece in stub.DownloadVideo(pb.DownloadVideoRequest(name=video.name))]
    data = b"".join(piece.data for piece in pieces)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (video.size_bytes, video.sha256)
    rest = [piece async for piece in stub.DownloadVideo(pb.DownloadVideoRequest(name=video.name, offset=100))]
    assert (rest[0].offset, b"".join(piece.data for piece in rest)) == (100, data[100:])
    found = (await stub.GetVideo(pb.GetVideoRequest(name=video.name))).video
    assert found == video
    cancelled = await stub.CancelVideo(pb.CancelVideoRequest(name=video.name))
    assert cancelled.video.state == pb.VIDEO_STATE_DONE


async def test_asking_again_reuses_and_another_finish_decodes(stub: GeneratorServiceStub) -> None:
    first = (await made(stub, ask()))[-1].video
    again = (await made(stub, ask()))[-1].video
    assert (again.sha256, again.report.cached, again.report.steps_run) == (first.sha256, True, 0)
    marked = ask()
    marked.post_processing.watermark = "Acme"
    other = (await made(stub, marked))[-1].video
    assert (other.take, other.report.steps_run, other.report.steps_reused) == (first.take, 0, 4)
    assert other.sha256 != first.sha256


async def test_leaving_does_not_stop_the_run_and_coming_back_attaches(stub: GeneratorServiceStub) -> None:
    call = stub.GenerateVideo(ask(steps=60))
    accepted = (await call.read()).accepted
    call.cancel()
    state = (await stub.GetVideo(pb.GetVideoRequest(name=accepted.name))).video.state
    assert state == pb.VIDEO_STATE_RUNNING
    back = await made(stub, ask(steps=60))
    assert back[0].accepted.attached
    assert back[-1].video.report.steps_run == 60


async def test_what_a_dead_generator_had_accepted_is_running_and_attaching_sees_it_end(
    stub: GeneratorServiceStub, engine: Engine, tmp_path: Path
) -> None:
    request = ask(steps=40)
    first = stub.GenerateVideo(ask(seed=99, steps=60))
    name = (await first.read()).accepted.name
    store = Store(tmp_path / "store")
    accepted = store.record(name)
    assert accepted is not None
    lost = core.Request(
        take=dataclasses.replace(accepted.request.take, seed=0, steps=40), finish=accepted.request.finish
    )
    held = Claims(store.objects).open(lost.name, "somebody who is dead")
    assert held is not None
    store.accept(lost)
    found = (await stub.GetVideo(pb.GetVideoRequest(name=lost.name))).video
    assert (found.state, found.progress.stage) == (pb.VIDEO_STATE_RUNNING, pb.STAGE_QUEUED)
    messages = await made(stub, request)
    assert (messages[0].accepted.name, messages[0].accepted.attached) == (lost.name, True)
    report = messages[-1].video.report
    assert (report.steps_run, report.attempts, report.run) == (40, 1, held.claim.run)


async def test_cancel_ends_every_attached_stream(stub: GeneratorServiceStub) -> None:
    call = stub.GenerateVideo(ask(steps=100))
    name = (await call.read()).accepted.name
    cancelled = await stub.CancelVideo(pb.CancelVideoRequest(name=name))
    assert cancelled.video.state == pb.VIDEO_STATE_CANCELLED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await to_end(call)
    assert (caught.value.code(), from_rpc_error(caught.value).reason) == (grpc.StatusCode.ABORTED, "VIDEO_CANCELLED")
    assert (await stub.CancelVideo(pb.CancelVideoRequest(name=name))).video.state == pb.VIDEO_STATE_CANCELLED


async def test_a_full_queue_says_when_to_come_back(stub: GeneratorServiceStub) -> None:
    calls = [stub.GenerateVideo(ask(steps=100, seed=seed)) for seed in range(3)]
    names = []
    for call in calls:
        names.append((await call.read()).accepted.name)
        await call.read()
    error = await refused(stub, ask(seed=9))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "QUEUE_FULL")
    assert error.retry_after
    for name in reversed(names):
        await stub.CancelVideo(pb.CancelVideoRequest(name=name))


async def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_the_estimate(
    model_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder))
    async with running(settings) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            stub = GeneratorServiceStub(channel)
            huge = ask(width=256, height=256, frames=33, steps=100)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GenerateVideo(huge, timeout=5).read()
            error = from_rpc_error(caught.value)
            assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_UNREACHABLE")
            assert int(error.metadata["estimate_ms"]) > 5100 >= int(error.metadata["deadline_ms"])  # gRPC rounds up
            estimate = await stub.EstimateVideo(pb.EstimateVideoRequest(settings=huge.settings))
            assert estimate.device_ms_p95 >= estimate.device_ms_p50 > 5000
            small = await stub.EstimateVideo(pb.EstimateVideoRequest(settings=ask().settings))
            assert 0 < small.device_ms_p50 < estimate.device_ms_p50
            assert 0 < small.peak_bytes < estimate.peak_bytes < estimate.available_bytes
            assert (await made(stub, ask()))[-1].video.state == pb.VIDEO_STATE_DONE


async def test_before_anything_was_measured_an_estimate_has_no_times_and_a_bad_shape_is_named(
    stub: GeneratorServiceStub,
) -> None:
    estimate = await stub.EstimateVideo(pb.EstimateVideoRequest(settings=ask().settings))
    assert (estimate.HasField("device_ms_p50"), estimate.HasField("device_ms_p95")) == (False, False)
    assert 0 < estimate.peak_bytes < estimate.available_bytes
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.EstimateVideo(pb.EstimateVideoRequest(settings=ask(frames=16).settings))
    assert from_rpc_error(caught.value).reason == "INVALID_FIELD"


async def test_a_shape_that_the_device_cannot_hold_is_refused_with_both_figures(
    model_folder: Path, engine: Engine, tmp_path: Path
) -> None:
    settings = Settings(
        address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder), memory_bytes=40_000_000
    )
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            stub = GeneratorServiceStub(channel)
            error = await refused(stub, ask(width=256, height=256))
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_LARGE")
            assert int(error.metadata["predicted_bytes"]) > int(error.metadata["available_bytes"]) == 40_000_000
            assert (await made(stub, ask()))[-1].video.state == pb.VIDEO_STATE_DONE


async def test_a_report_tells_in_clear_how_its_tier_ran(stub: GeneratorServiceStub, tmp_path: Path) -> None:
    video = (await made(stub, ask()))[-1].video
    tier = (await stub.GetModel(pb.GetModelRequest())).tiers[0]
    assert tier.settings["attention_chosen"] == "native"
    # Where the model lies on this machine is its operator's own business.
    assert Path(tier.settings["model"]).is_absolute()
    told = {**tier.settings, "model": Path(tier.settings["model"]).name}
    assert video.report.settings == told
    assert (await stub.GetVideo(pb.GetVideoRequest(name=video.name))).video.report.settings == told
    assert (tmp_path / "store" / video.name / "report.json").stat().st_size < 4096


async def test_the_model_says_what_it_is(stub: GeneratorServiceStub, engine: Engine) -> None:
    model = await stub.GetModel(pb.GetModelRequest())
    tier = model.tiers[0]
    assert (model.default_tier, [each.name for each in model.tiers]) == ("embedded", ["embedded"])
    assert tier.tokenizer_fingerprint == engine.tokenizer_fingerprint
    assert (tier.limits.max_prompt_tokens, tier.defaults.steps, tier.default_post_processing.fps) == (512, 16, 8)
    assert "shape" in tier.description
    assert tier.settings["dtype"] == "float32"
    assert tier.settings["quantisation"] == "none"
    assert tier.settings["attention_chosen"] == "native"
    assert tier.settings["step_cache"] == "null"


async def test_what_the_tier_cannot_draw_is_said_once(stub: GeneratorServiceStub) -> None:
    messages = await made(stub, ask("a dog that surfs", steps=1))
    assert len(messages[0].accepted.warnings) == 1
    assert messages[-1].video.state == pb.VIDEO_STATE_DONE
    assert not (await made(stub, ask(steps=1)))[0].accepted.warnings


async def test_a_duration_is_rounded_up_and_the_reply_says_to_what(stub: GeneratorServiceStub) -> None:
    request = ask(frames=0, steps=1)
    request.settings.duration.CopyFrom(Duration(nanos=750_000_000))
    assert (await made(stub, request))[0].accepted.settings.frames == 9


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"frames": 16}, "settings.frames"),
    ({"width": 100, "height": 100}, "settings.width"),
    ({"width": 32, "height": 0}, "settings.height"),
    ({"seed": -1}, "settings.seed"),
    ({"guidance_scale": float("nan")}, "settings.guidance_scale"),
    ({"guidance_scale_2": 0.5}, "settings.guidance_scale_2"),
    ({"duration": Duration(seconds=1)}, "settings.duration"),
    ({"frames": 0, "duration": Duration(seconds=-1)}, "settings.duration"),
]


@pytest.mark.parametrize(("changes", "field"), INVALID, ids=str)
async def test_a_broken_field_rule_is_named(stub: GeneratorServiceStub, changes: dict[str, Any], field: str) -> None:
    error = await refused(stub, ask(**changes))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in [violation.subject for violation in error.violations]


@pytest.mark.parametrize("prompt", ["", " \n ", "\x01\x02", "\u200b"])
async def test_a_prompt_of_nothing_is_refused(stub: GeneratorServiceStub, prompt: str) -> None:
    error = await refused(stub, ask(prompt))
    assert (error.code, error.violations[0].subject) == (grpc.StatusCode.INVALID_ARGUMENT, "prompt")


@pytest.mark.parametrize("changes", [{"width": 4096, "height": 4096}, {"frames": 1001}, {"steps": 100_000}], ids=str)
async def test_what_is_over_the_tiers_limits_is_too_large(stub: GeneratorServiceStub, changes: dict[str, int]) -> None:
    error = await refused(stub, ask(**changes))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_LARGE")
    assert error.metadata["limit"]


async def test_a_prompt_over_the_window_is_refused_with_both_counts(stub: GeneratorServiceStub) -> None:
    error = await refused(stub, ask("circle " * 600))
    assert (error.reason, error.metadata) == ("PROMPT_TOKENS_EXCEEDED", {"tokens": "600", "limit": "511"})
    fitting = await made(stub, ask("circle " * 511, steps=1))
    assert fitting[-1].video.report.prompt_tokens == 511


async def test_other_refusals(stub: GeneratorServiceStub) -> None:
    unknown = await refused(stub, ask(tier="imax"))
    assert (unknown.code, unknown.resource and unknown.resource.kind) == (grpc.StatusCode.NOT_FOUND, "tier")
    stranger = ask()
    stranger.tokenizer_fingerprint = "f" * 64
    error = await refused(stub, stranger)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKENIZER_MISMATCH")
    marked = ask()
    marked.post_processing.watermark = "水印"
    assert (await refused(stub, marked)).violations[0].subject == "post_processing.watermark"
    storyboard = ask()
    storyboard.segments.add(prompt="more", frames=5)
    assert (await refused(stub, storyboard)).violations[0].subject == "segments"
    assert (await made(stub, ask()))[-1].video.state == pb.VIDEO_STATE_DONE


async def test_another_tenants_video_does_not_exist(stub: GeneratorServiceStub) -> None:
    """Without a token file the caller has every role, "gate" too, and may so ask for other tenants."""
    request = ask()
    request.tenant = "acme"
    name = (await made(stub, request))[-1].video.name
    calls = [
        stub.GetVideo(pb.GetVideoRequest(name=name)),
        stub.CancelVideo(pb.CancelVideoRequest(name=name)),
        stub.DownloadVideo(pb.DownloadVideoRequest(name=name)).read(),
        stub.GetVideo(pb.GetVideoRequest(name=NOBODYS, tenant="acme")),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await stub.GetVideo(pb.GetVideoRequest(name=name, tenant="acme"))).video.name == name


@pytest.mark.parametrize("name", ["", "videos/", "videos/../../etc/passwd", "takes/" + "0" * 64])
async def test_a_name_that_is_none_is_refused(stub: GeneratorServiceStub, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetVideo(pb.GetVideoRequest(name=name))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_offset_past_the_end_is_refused(stub: GeneratorServiceStub) -> None:
    name = (await made(stub, ask(steps=1)))[-1].video.name
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DownloadVideo(pb.DownloadVideoRequest(name=name, offset=1 << 40)).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_not_built_is_unimplemented(stub: GeneratorServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExtendVideo(pb.ExtendVideoRequest()).read()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
