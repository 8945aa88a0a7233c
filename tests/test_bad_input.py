"""Bad input over both real services, as processes: its status and reason, in time, and the next good request works."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reelgate import Accepted, Client, Prepared, Progress
from reelgate import values as v
from reelgate.processes import Service, Services
from reelgate.rpc import errors
from reelgate.rpc.status import typed_errors

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]
RED = "A red ball rolls to the left on grass."
TINY = v.Settings(width=32, height=32, frames=5, steps=4)
# Of every call here; what is not answered in time is DEADLINE_EXCEEDED, which is no reason below.
DEADLINE = 30.0
seeds = itertools.count()


@dataclass(kw_only=True)
class Line:
    """Both services, a client, and a channel with none of our code."""

    services: Services
    client: Client
    raw: grpc.aio.Channel
    store: Path
    log: IO[bytes]

    async def works(self) -> bool:
        """A video that nobody has made yet comes to its end."""
        events = [e async for e in self.client.generate(RED, settings=fresh(), timeout=DEADLINE)]
        return isinstance(events[-1], v.Video) and events[-1].state is v.State.DONE

    async def turns(self, status: int) -> None:
        """Wait until the service says that it is ``status``."""
        watch = health_pb2_grpc.HealthStub(self.raw).Watch(health_pb2.HealthCheckRequest(), timeout=120)
        while (await watch.read()).status != status:
            pass
        watch.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as environment:
        # The tiny shape gains nothing from a second thread, which on a busy machine each operation would wait for.
        environment.setenv("REELGATE_GENERATOR_THREADS", "1")
        async with (
            Services(store=folder / "store", log=log) as services,
            Client(services.address) as client,
            grpc.aio.insecure_channel(services.address) as raw,
        ):
            yield Line(services=services, client=client, raw=raw, store=folder / "store", log=log)
    assert b"unforeseen" not in (folder / "log").read_bytes()


def fresh(**changes: Any) -> v.Settings:
    """The tiny shape; another take each time."""
    return replace(TINY, seed=next(seeds), **changes)


BAD: dict[str, tuple[dict[str, Any], v.Settings, type[errors.ReelgateError], str]] = {
    "empty prompt": ({"prompt": ""}, TINY, errors.InvalidFieldError, "input.text"),
    "a megabyte": ({"prompt": "a cat " * 175_000}, TINY, errors.InvalidFieldError, "input.text"),
    "over the message limit": ({"prompt": "a cat " * 1_000_000}, TINY, errors.MessageTooLargeError, ""),
    "only control characters": ({"prompt": "\x00\x01\x7f\u200b\u202e"}, TINY, errors.InvalidFieldError, "input.text"),
    "16 frames": ({"prompt": RED}, replace(TINY, frames=16), errors.InvalidFieldError, "settings.frames"),
    "100x100": ({"prompt": RED}, replace(TINY, width=100, height=100), errors.InvalidFieldError, "settings.width"),
    "10,000 keywords": (
        {"prompt": RED, "keywords": [f"k{n}" for n in range(10_000)]},
        TINY,
        errors.InvalidFieldError,
        "input.keywords",
    ),
    "unknown tier": ({"prompt": RED}, replace(TINY, tier="imax"), errors.NotFoundError, "tier"),
    "unknown template": ({"prompt": RED, "template": "haiku"}, TINY, errors.NotFoundError, "template"),
    "over the tier's size": ({"prompt": RED}, replace(TINY, width=4096), errors.RequestTooLargeError, "settings.width"),
}
CODES = {
    errors.InvalidFieldError: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.RequestTooLargeError: (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_LARGE"),
    errors.NotFoundError: (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    errors.MessageTooLargeError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_has_its_reason_and_the_next_request_works(name: str, line: Line) -> None:
    asked, settings, kind, where = BAD[name]
    with pytest.raises(kind) as caught:
        async for _ in line.client.generate(**asked, settings=settings, timeout=DEADLINE):
            pass
    error = caught.value
    assert (error.code, error.reason) == CODES[kind]
    assert error.next_step
    if error.resource:
        assert error.resource.kind == where
    elif where:
        assert where in [x.subject for x in error.violations]
        assert error.request_id
    assert await line.works()


@pytest.mark.parametrize("method", ["PreparePrompt", "GenerateVideo"])
async def test_text_that_is_not_utf8_is_an_invalid_argument(method: str, line: Line) -> None:
    body = b"\x0a\x06\x0a\x04\xff\xfe\xfd\xfc"  # input.text, four bytes that are no UTF-8
    path = f"/reelgate.preprocess.v1.PreprocessService/{method}"
    with pytest.raises(errors.InvalidFieldError) as caught, typed_errors():
        await anext(aiter(line.raw.unary_stream(path)(body, timeout=DEADLINE)))
    assert (caught.value.reason, caught.value.violations[0].subject) == ("INVALID_FIELD", "request")
    assert await line.works()


async def test_a_video_comes_whole_through_both_services(line: Line, tmp_path: Path) -> None:
    events: list[v.Event] = []
    target = tmp_path / "ball.mp4"
    video = await line.client.generate_to_file(RED, target, settings=fresh(), on_event=events.append, timeout=DEADLINE)
    assert [type(e) for e in events if not isinstance(e, Progress)] == [Prepared, Accepted, v.Video]
    assert len(target.read_bytes()) == video.size_bytes
    assert target.read_bytes()[4:8] == b"ftyp"
    assert await line.client.get(video.name) == replace(
        video, bill=None
    )  # the bill is beside the stream's last message


async def test_a_video_that_is_not_finished_cannot_be_downloaded(line: Line, tmp_path: Path) -> None:
    run = line.client.generate(RED, settings=fresh(steps=100), timeout=DEADLINE)
    name = ""
    async for event in run:
        if isinstance(event, Accepted):
            name = event.name
            break
    await run.aclose()
    with pytest.raises(errors.NotFoundError, match="not finished") as caught:
        await line.client.download(name, tmp_path / "x.mp4")
    assert "once it is done" in caught.value.next_step
    assert (await line.client.cancel(name)).state is v.State.CANCELLED
    assert await line.works()


async def test_without_a_generator_prompts_are_prepared_and_videos_refused() -> None:
    settings = {"REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0", "REELGATE_PREPROCESS_GENERATOR": "127.0.0.1:1"}
    alone = Service("preprocess_service", settings, None)
    await alone.start()
    try:
        async with Client(alone.address) as client:
            assert (await client.prepare(RED, timeout=DEADLINE)).prompt == RED
            with pytest.raises(errors.GeneratorUnavailableError) as caught:
                async for _ in client.generate(RED, settings=TINY, timeout=DEADLINE):
                    pass
            error = caught.value
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "GENERATOR_UNAVAILABLE")
            assert error.retry_after
            assert error.request_id
    finally:
        await alone.stop()


async def test_a_generator_killed_amid_a_video_is_said_and_the_video_comes_once_it_is_back(line: Line) -> None:
    dead = line.services.generator
    assert dead is not None
    wanted = fresh(steps=60)
    run = line.client.generate(RED, settings=wanted, timeout=DEADLINE)
    async for event in run:
        if isinstance(event, Progress) and event.stage is v.Stage.DENOISE:
            break
    dead.kill()
    with pytest.raises(errors.GeneratorUnavailableError) as caught:
        async for _ in run:
            pass
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "GENERATOR_UNAVAILABLE")
    assert await line.services.ended() is dead
    await line.turns(health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(errors.GeneratorUnavailableError) as again:
        async for _ in line.client.generate(RED, settings=wanted, timeout=DEADLINE):
            pass
    assert again.value.retry_after
    environment = {"REELGATE_GENERATOR_ADDRESS": dead.address, "REELGATE_GENERATOR_STORE": str(line.store)}
    line.services.generator = Service("generator_service", environment, line.log)
    await line.services.generator.start()
    await line.services.generator.ready()
    await line.turns(health_pb2.HealthCheckResponse.SERVING)
    events = [e async for e in line.client.generate(RED, settings=wanted, timeout=DEADLINE)]
    video = events[-1]
    assert isinstance(video, v.Video)
    assert video.report
    assert video.report.steps_run + video.report.steps_reused == 60
    assert await line.works()
