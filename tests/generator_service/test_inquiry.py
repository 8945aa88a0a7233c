"""A run by its id, as who holds a budget for it asks: a real client against a real server, and a store after every crash."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from generator_service.app import running
from generator_service.claims import Claims
from generator_service.core import Outcome, Report, Request, Stage
from generator_service.engine import Denoising, Engine
from generator_service.inquiry import AcceptingError, Inquiry
from generator_service.settings import Settings
from generator_service.store import ENDED_MOST, Store
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.errors import ReelgateError
from reelgate.rpc.status import from_rpc_error
from tests.generator_service.client import ask, made, refused

Tiny = Callable[..., Request]
LONG: dict[str, Any] = {"width": 64, "height": 64, "frames": 21, "steps": 100}


def new() -> str:
    return uuid.uuid4().hex


async def video_of(stub: GeneratorServiceStub, name: str, run: str = "", tenant: str = "") -> pb.Video:
    return (await stub.GetVideo(pb.GetVideoRequest(name=name, run=run, tenant=tenant))).video


async def cancelled(stub: GeneratorServiceStub, name: str, run: str = "") -> pb.Video:
    return (await stub.CancelVideo(pb.CancelVideoRequest(name=name, run=run))).video


async def error_of(call: Any) -> ReelgateError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def estimate(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest) -> pb.EstimateVideoResponse:
    wanted = pb.EstimateVideoRequest(
        settings=request.settings, post_processing=request.post_processing, tenant=request.tenant, prompt=request.prompt
    )
    if request.HasField("negative_prompt"):
        wanted.negative_prompt = request.negative_prompt
    return await stub.EstimateVideo(wanted)


async def test_a_proposed_run_is_honoured_and_told_everywhere(stub: GeneratorServiceStub) -> None:
    run = new()
    messages = await made(stub, ask(run=run))
    accepted, video = messages[0].accepted, messages[-1].video
    assert (accepted.run, accepted.attached, accepted.cached) == (run, False, False)
    assert (video.run, video.report.run) == (run, run)
    assert await video_of(stub, video.name, run) == await video_of(stub, video.name) == video


async def test_without_a_proposal_the_generator_makes_an_id(stub: GeneratorServiceStub) -> None:
    messages = await made(stub, ask())
    assert len(messages[0].accepted.run) == 32
    assert messages[0].accepted.run == messages[-1].video.run == messages[-1].video.report.run


@pytest.mark.parametrize("run", ["x", "A" * 32, "0" * 31, "0" * 33, "g" * 32, " " * 32])
async def test_a_malformed_run_is_a_broken_field(stub: GeneratorServiceStub, run: str) -> None:
    name = "videos/" + "0" * 64
    found = [
        await refused(stub, ask(run=run)),
        await error_of(video_of(stub, name, run)),
        await error_of(cancelled(stub, name, run)),
    ]
    for error in found:
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.subject for violation in error.violations] == ["run"]


async def test_attaching_ignores_the_proposal_and_tells_the_run_it_joined(stub: GeneratorServiceStub) -> None:
    first, second = new(), new()
    call = stub.GenerateVideo(ask(run=first, **LONG))
    name = (await call.read()).accepted.name
    joining = stub.GenerateVideo(ask(run=second, **LONG))
    accepted = (await joining.read()).accepted
    assert (accepted.run, accepted.attached, accepted.cached) == (first, True, False)
    assert (await video_of(stub, name)).run == first
    assert (await error_of(video_of(stub, name, second))).code is grpc.StatusCode.NOT_FOUND
    await cancelled(stub, name)


async def test_a_stored_video_keeps_the_run_that_made_it_and_tells_what_it_saved(stub: GeneratorServiceStub) -> None:
    run = new()
    first = (await made(stub, ask(run=run)))[-1].video
    assert first.report.saved_device_ms == 0
    again = await made(stub, ask(run=new()))
    assert (again[0].accepted.run, again[0].accepted.cached, again[0].accepted.attached) == (run, True, False)
    report, spent = again[-1].video.report, first.report.device_time
    assert (report.cached, report.run, report.device_time) == (True, run, pb.DeviceTime())
    assert report.saved_device_ms == spent.text_ms + spent.denoise_ms + spent.decode_ms + spent.encode_ms > 0


async def test_another_finish_saves_the_text_and_the_denoising(stub: GeneratorServiceStub) -> None:
    first = (await made(stub, ask()))[-1].video.report
    marked = ask()
    marked.post_processing.watermark = "Acme"
    report = (await made(stub, marked))[-1].video.report
    spent = first.device_time
    assert report.saved_device_ms == pytest.approx(spent.text_ms + spent.denoise_ms, abs=1)
    assert report.device_time.decode_ms > 0 == report.device_time.denoise_ms


async def test_an_old_run_is_found_after_it_was_cancelled_and_a_new_one_made_the_video(
    stub: GeneratorServiceStub,
) -> None:
    old, later = new(), new()
    call = stub.GenerateVideo(ask(run=old, steps=60))
    name = (await call.read()).accepted.name
    while (message := await call.read()).progress.stage != pb.STAGE_DENOISE:
        pass
    assert message.progress.device_ms > 0
    stopped = await cancelled(stub, name, old)
    assert (stopped.state, stopped.run) == (pb.VIDEO_STATE_CANCELLED, old)
    done = (await made(stub, ask(run=later, steps=60)))[-1].video
    assert (done.run, done.state) == (later, pb.VIDEO_STATE_DONE)
    found = await video_of(stub, name, old)
    assert (found.state, found.run, found.report) == (stopped.state, old, stopped.report)
    assert found.report.steps_run > 0
    assert found.report.device_time.denoise_ms > 0
    assert (found.report.failure_reason, found.report.prompt_tokens > 0) == ("", True)
    assert await video_of(stub, name, later) == await video_of(stub, name) == done


async def test_an_old_run_is_found_while_a_new_one_is_under_way_and_stopping_it_leaves_that_alone(
    stub: GeneratorServiceStub,
) -> None:
    old, later = new(), new()
    first = stub.GenerateVideo(ask(run=old, **LONG))
    name = (await first.read()).accepted.name
    await cancelled(stub, name)
    second = stub.GenerateVideo(ask(run=later, **LONG))
    await second.read()
    assert (await cancelled(stub, name, old)).state == pb.VIDEO_STATE_CANCELLED
    running = await video_of(stub, name, later)
    assert (running.state, running.run) == (pb.VIDEO_STATE_RUNNING, later)
    assert (await video_of(stub, name, old)).report.run == old
    assert (await cancelled(stub, name, later)).state == pb.VIDEO_STATE_CANCELLED


async def test_a_run_that_never_was_is_not_found_even_where_the_name_is(stub: GeneratorServiceStub) -> None:
    name = (await made(stub, ask(steps=1)))[-1].video.name
    for asked in (name, "videos/" + "0" * 64):
        error = await error_of(video_of(stub, asked, new()))
        assert (error.code, error.resource and error.resource.kind) == (grpc.StatusCode.NOT_FOUND, "run")
    assert (await error_of(video_of(stub, name, tenant="acme"))).code is grpc.StatusCode.NOT_FOUND


async def test_another_tenants_run_does_not_exist(stub: GeneratorServiceStub) -> None:
    run = new()
    name = (await made(stub, ask(run=run, steps=1)))[-1].video.name
    assert (await error_of(video_of(stub, name, run, tenant="acme"))).code is grpc.StatusCode.NOT_FOUND


async def test_a_run_that_was_cancelled_before_it_was_accepted_is_never_opened(stub: GeneratorServiceStub) -> None:
    run, name = new(), (await estimate(stub, ask())).name
    assert (await error_of(cancelled(stub, name, run))).code is grpc.StatusCode.NOT_FOUND
    error = await refused(stub, ask(run=run))
    assert (error.reason, error.metadata["run"]) == ("VIDEO_CANCELLED", run)
    assert (await error_of(video_of(stub, name))).code is grpc.StatusCode.NOT_FOUND
    assert (await made(stub, ask()))[-1].video.state == pb.VIDEO_STATE_DONE
    barred = await video_of(stub, name, run)
    assert (barred.state, barred.report.device_time) == (pb.VIDEO_STATE_CANCELLED, pb.DeviceTime())


async def ending(stub: GeneratorServiceStub, request: pb.GenerateVideoRequest, after: float) -> str:
    """How a call ends: "done", or the reason of its error."""
    await asyncio.sleep(after)
    try:
        return pb.VideoState.Name((await made(stub, request))[-1].video.state).removeprefix("VIDEO_STATE_").lower()
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason


async def stopping(stub: GeneratorServiceStub, name: str, run: str, after: float) -> str:
    """The state that a cancelled run is in, or the reason why that is not known."""
    await asyncio.sleep(after)
    try:
        return pb.VideoState.Name((await cancelled(stub, name, run)).state).removeprefix("VIDEO_STATE_").lower()
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason


async def test_whoever_is_told_that_a_run_never_was_is_right_though_its_call_is_still_on_the_way(
    stub: GeneratorServiceStub,
) -> None:
    """The bar and the acceptance meet at every distance: whatever the one was told holds for the other."""
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(40):
        request = ask(run=new(), seed=number, steps=1)
        name = (await estimate(stub, request)).name
        told, end = await asyncio.gather(
            stopping(stub, name, request.run, after=number // 8 * 0.002),
            ending(stub, request, after=number % 8 * 0.001),
        )
        seen[told, end] += 1
        if told in ("RESOURCE_NOT_FOUND", "cancelled"):
            assert end == "VIDEO_CANCELLED"
        elif told == "done":
            assert end == "done"
        else:
            assert told == "GENERATOR_UNAVAILABLE"
    assert {told for told, _ in seen} >= {"RESOURCE_NOT_FOUND"}


async def test_asking_again_for_a_run_that_has_ended_tells_how_it_ended(stub: GeneratorServiceStub) -> None:
    run = new()
    first = (await made(stub, ask(run=run)))[-1].video
    again = await made(stub, ask(run=run))
    assert (again[0].accepted.cached, again[0].accepted.attached, again[-1].video) == (False, True, first)
    stopped = new()
    call = stub.GenerateVideo(ask(run=stopped, **LONG))
    await cancelled(stub, (await call.read()).accepted.name)
    assert (await refused(stub, ask(run=stopped, **LONG))).reason == "VIDEO_CANCELLED"


async def test_a_run_cancelled_in_the_queue_has_used_nothing(stub: GeneratorServiceStub) -> None:
    ahead = stub.GenerateVideo(ask(seed=1, **LONG))
    first = (await ahead.read()).accepted.name
    await ahead.read()
    name = (await stub.GenerateVideo(ask(seed=2, **LONG)).read()).accepted.name
    report = (await cancelled(stub, name)).report
    assert (report.device_time, report.steps_run, report.saved_device_ms) == (pb.DeviceTime(), 0, 0)
    assert (report.failure_reason, report.prompt_tokens > 0) == ("", True)
    await cancelled(stub, first)


class Nan(Engine):
    """Its latents are spoilt in the second step."""

    def step(self, state: Denoising) -> None:
        super().step(state)
        if state.index == 2:
            state.latents = state.latents * float("nan")


async def test_a_failed_run_is_our_fault_and_tells_what_it_used(
    model_folder: Path, engine: Engine, tmp_path: Path
) -> None:
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder))
    async with running(settings, lambda: {"embedded": Nan(engine.parts)}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            stub, run = GeneratorServiceStub(channel), new()
            assert (await refused(stub, ask(run=run, steps=20))).reason == "GENERATION_FAILED"
            video = await video_of(stub, (await estimate(stub, ask(steps=20))).name, run)
    assert (video.state, video.run) == (pb.VIDEO_STATE_FAILED, run)
    assert (video.report.failure_reason, video.report.steps_run) == ("GENERATION_FAILED", 2)
    assert min(video.report.device_time.text_ms, video.report.device_time.denoise_ms) > 0
    assert video.report.prompt_tokens > 0


async def test_progress_tells_what_was_used_so_far_and_the_report_no_less(stub: GeneratorServiceStub) -> None:
    messages = await made(stub, ask(steps=20))
    spent = [m.progress.device_ms for m in messages if m.WhichOneof("event") == "progress"]
    assert spent == sorted(spent)
    time = messages[-1].video.report.device_time
    # Of what is reported each stage is rounded down.
    assert 0 < spent[-1] <= time.text_ms + time.denoise_ms + time.decode_ms + time.encode_ms + 4


async def test_only_a_gate_may_propose_a_run_or_bar_one(model_folder: Path, engine: Engine, tmp_path: Path) -> None:
    roles = {"theirs": "user", "gates": "gate"}
    tokens = [
        {"sha256": hashlib.sha256(token.encode()).hexdigest(), "tenant": "acme", "roles": [role]}
        for token, role in roles.items()
    ]
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"tokens": tokens}))
    settings = Settings(
        address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder), token_file=file
    )
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        user, gate = (
            connect(ChannelConfig(target=f"127.0.0.1:{app.server.port}", token=token, attempts=1)) for token in roles
        )
        async with user, gate:
            theirs, gates = GeneratorServiceStub(user), GeneratorServiceStub(gate)
            name, run = (await estimate(theirs, ask())).name, new()
            assert (await error_of(cancelled(theirs, name, run))).code is grpc.StatusCode.NOT_FOUND
            accepted = (await made(theirs, ask(run=run)))[0].accepted
            assert (accepted.name, accepted.run != run, len(accepted.run)) == (name, True, 32)
            assert (await made(gates, ask(run=run, steps=1)))[0].accepted.run == run


async def test_a_run_is_the_same_to_every_generator_of_a_store(
    model_folder: Path, engine: Engine, tmp_path: Path
) -> None:
    settings = Settings(
        address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder), lease_seconds=1.0
    )
    both = [running(settings, lambda: {"embedded": engine}) for _ in range(2)]
    async with both[0] as first, both[1] as second:
        await first.ready
        await second.ready
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") for app in (first, second)]
        async with channels[0], channels[1]:
            maker, other = map(GeneratorServiceStub, channels)
            run, old = new(), new()
            name = (await maker.GenerateVideo(ask(run=old, **LONG)).read()).accepted.name
            await cancelled(other, name, old)
            call = maker.GenerateVideo(ask(run=run, **LONG))
            while (await call.read()).progress.step < 2:
                pass
            assert (await video_of(other, name, old)).state == pb.VIDEO_STATE_CANCELLED
            assert (await video_of(other, name, run)).state == pb.VIDEO_STATE_RUNNING
            assert (await error_of(video_of(other, name, new()))).code is grpc.StatusCode.NOT_FOUND
            joined = (await other.GenerateVideo(ask(run=new(), **LONG)).read()).accepted
            assert (joined.run, joined.attached) == (run, True)
            met = await estimate(other, ask(**LONG))
            assert (met.state, met.run) == (pb.VIDEO_STATE_RUNNING, run)
            assert (await cancelled(other, name, old)).run == old
            assert (await video_of(maker, name)).state == pb.VIDEO_STATE_RUNNING
            assert (await cancelled(other, name, run)).report.device_time.denoise_ms > 0


def varied(count: int) -> list[pb.GenerateVideoRequest]:
    """Requests that differ in everything that a name depends on, the same ones every time."""
    dice = random.Random(5)
    found = []
    for k in range(count):
        request = ask(
            f"a red circle moves left {k}",
            width=dice.choice([32, 48]),
            height=dice.choice([32, 48]),
            frames=dice.choice([0, 5, 9]),
            steps=dice.choice([1, 2]),
            seed=dice.choice([None, 0, k]),
            guidance_scale=dice.choice([None, 1.0, 3.3]),
            guidance_scale_2=dice.choice([None, 2.7]),
            tier=dice.choice(["", "embedded"]),
        )
        if not request.settings.frames and dice.random() < 0.5:
            request.settings.duration.FromMilliseconds(500)
        if dice.random() < 0.5:
            request.negative_prompt = dice.choice(["", "blurred"])
        if dice.random() < 0.5:
            request.post_processing.watermark = " Acme "
        request.post_processing.fps = dice.choice([0, 12])
        request.tenant = dice.choice(["", "acme"])
        found.append(request)
    return found


async def test_the_name_that_an_estimate_tells_is_the_one_that_is_accepted(stub: GeneratorServiceStub) -> None:
    for request in varied(20):
        before = await estimate(stub, request)
        assert (before.state, before.run, before.denoised) == (pb.VIDEO_STATE_UNSPECIFIED, "", False)
        call = stub.GenerateVideo(request)
        accepted = (await call.read()).accepted
        assert (before.name, before.take) == (accepted.name, accepted.take)
        await stub.CancelVideo(pb.CancelVideoRequest(name=accepted.name, tenant=request.tenant))


async def test_an_estimate_with_a_prompt_tells_what_the_request_would_meet(model_folder: Path, tmp_path: Path) -> None:
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder))
    async with running(settings) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            await _met(GeneratorServiceStub(channel))


async def _met(stub: GeneratorServiceStub) -> None:
    request = ask(run=new(), steps=40)
    fresh = await estimate(stub, request)
    assert 0 < fresh.device_ms_p50 <= fresh.device_ms_p95
    call = stub.GenerateVideo(request)
    await call.read()
    running_ = await estimate(stub, request)
    assert (running_.state, running_.run) == (pb.VIDEO_STATE_RUNNING, request.run)
    await cancelled(stub, running_.name)
    stopped = await estimate(stub, request)
    assert (stopped.state, stopped.run, stopped.denoised) == (pb.VIDEO_STATE_UNSPECIFIED, "", False)
    request.run = new()
    await made(stub, request)
    done = await estimate(stub, request)
    assert (done.state, done.run, done.denoised) == (pb.VIDEO_STATE_DONE, request.run, True)
    assert (done.HasField("device_ms_p95"), done.device_ms_p50, done.device_ms_p95) == (True, 0, 0)
    request.post_processing.watermark = "Acme"
    marked = await estimate(stub, request)
    assert (marked.state, marked.take, marked.denoised) == (pb.VIDEO_STATE_UNSPECIFIED, done.take, True)
    assert 0 < marked.device_ms_p50 < fresh.device_ms_p50 / 2


async def test_an_estimate_checks_the_prompt_as_a_request_does(stub: GeneratorServiceStub) -> None:
    for prompt, reason in (("", "INVALID_FIELD"), ("circle " * 600, "PROMPT_TOKENS_EXCEEDED")):
        wanted = pb.EstimateVideoRequest(settings=ask().settings, prompt=prompt)
        assert (await error_of(stub.EstimateVideo(wanted))).reason == reason


def report(run: str, outcome: Outcome = Outcome.FAILED) -> Report:
    return Report(outcome=outcome, run=run, denoise_steps=3, device_ms={Stage.DENOISE: 12})


class Crashed:
    """A store on which generators die in the middle."""

    def __init__(self, folder: Path, request: Request) -> None:
        self.store, self.request, self.name = Store(folder), request, request.name
        self.claims = Claims(self.store.objects)
        self.inquiry = Inquiry(self.store, self.claims)

    def look(self, run: str) -> Report | str:
        """The report, "running", "unknown" or "undecided"."""
        try:
            known = self.inquiry.of_run(self.name, run)
        except AcceptingError:
            return "undecided"
        if known is None:
            return "unknown"
        return known.report or "running"


@pytest.fixture
def crashed(tmp_path: Path, tiny: Tiny) -> Crashed:
    return Crashed(tmp_path / "store", tiny())


def test_a_run_is_known_by_what_it_was_at_every_moment_of_its_life(crashed: Crashed) -> None:
    """Each line is where a generator may die."""
    store, name, first, second = crashed.store, crashed.name, new(), new()
    assert crashed.look(first) == "unknown"
    crashed.claims.open(name, "a", first)
    assert crashed.look(first) == "undecided"
    store.accept(crashed.request, first)
    assert crashed.look(first) == "running"
    store.put_report(name, report(first))
    assert crashed.look(first) == report(first)
    crashed.claims.end(name)
    assert crashed.look(first) == report(first)
    crashed.claims.open(name, "a", second)
    assert (crashed.look(first), crashed.look(second)) == (report(first), "running")
    store.accept(crashed.request, second, last=store.report(name))
    assert (crashed.look(first), crashed.look(second)) == (report(first), "running")
    store.put_report(name, report(second))
    crashed.claims.end(name)
    assert (crashed.look(first), crashed.look(second)) == (report(first), report(second))


def test_a_run_that_lost_its_claim_with_the_power_is_unfinished_and_is_claimed_again(crashed: Crashed) -> None:
    run = new()
    crashed.store.accept(crashed.request, run)
    assert (crashed.look(new()), crashed.claims.read(crashed.name)) == ("unknown", None)
    assert crashed.look(run) == "running"
    held = crashed.claims.read(crashed.name)
    assert held is not None
    assert (held.claim.run, held.claim.owner) == (run, "")


def test_a_torn_claim_still_tells_which_run_it_was(crashed: Crashed) -> None:
    run = new()
    crashed.claims.open(crashed.name, "a", run)
    crashed.store.accept(crashed.request, run)
    crashed.store.objects.put(f"runs/{crashed.name.removeprefix('videos/')}", b'{"run": "')
    assert crashed.look(run) == "running"
    held = crashed.claims.read(crashed.name)
    assert held is not None
    assert held.claim.run == run


def test_a_run_that_was_claimed_over_an_older_report_and_died_was_never_accepted(crashed: Crashed) -> None:
    """Whoever finds such a claim buries it, and so it is not found from then on."""
    first, second = new(), new()
    crashed.store.accept(crashed.request, first)
    crashed.store.put_report(crashed.name, report(first))
    held = crashed.claims.open(crashed.name, "dead", second)
    assert held is not None
    assert crashed.claims.bury(crashed.name, held, "b")
    assert (crashed.look(second), crashed.look(first)) == ("unknown", report(first))


def test_of_the_ended_runs_of_a_name_the_last_hundred_are_kept(crashed: Crashed) -> None:
    runs = [new() for _ in range(ENDED_MOST + 3)]
    for run in runs:
        crashed.store.accept(crashed.request, run, last=crashed.store.report(crashed.name))
        crashed.store.put_report(crashed.name, report(run))
    # The last one is still in its place, and is none of the hundred.
    assert [crashed.look(run) for run in runs[:2]] == ["unknown"] * 2
    assert [crashed.look(run) for run in runs[2:]] == [report(run) for run in runs[2:]]


def without(value: dict[str, Any], *fields: str) -> bytes:
    return json.dumps({key: each for key, each in value.items() if key not in fields}).encode()


async def test_a_store_of_an_older_version_is_read(
    model_folder: Path, engine: Engine, tmp_path: Path, tiny: Tiny
) -> None:
    """Its requests name no run, its reports neither run nor savings."""
    store, ended, lost = Store(tmp_path / "store"), tiny(), tiny(seed=8, steps=2)
    for request in (ended, lost):
        store.objects.put(f"{request.name}/request.json", json.dumps(dataclasses.asdict(request)).encode())
    old = without(dataclasses.asdict(report("")), "run", "saved_ms", "expert_ms")
    store.objects.put(f"{ended.name}/report.json", old)
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder))
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            stub = GeneratorServiceStub(channel)
            video = await video_of(stub, ended.name)
            assert (video.state, video.run, video.report.steps_run) == (pb.VIDEO_STATE_FAILED, "", 3)
            assert (await error_of(video_of(stub, ended.name, new()))).code is grpc.StatusCode.NOT_FOUND
            again = pb.GenerateVideoRequest(
                prompt=ended.take.prompt,
                negative_prompt="blurred",
                settings=ask(seed=7, guidance_scale=4.0, guidance_scale_2=3.0).settings,
            )
            assert (video := (await made(stub, again))[-1].video).run
            assert (video.name, video.state) == (ended.name, pb.VIDEO_STATE_DONE)
            while not (found := await video_of(stub, lost.name)).report.ByteSize():
                assert found.state == pb.VIDEO_STATE_RUNNING
            assert (found.state, len(found.run)) == (pb.VIDEO_STATE_DONE, 32)
