"""The process: when it is ready, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from generator_service.app import SERVICE
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.status import from_rpc_error

Start = Callable[..., Awaitable[Process]]
SLOW = pytest.mark.timeout(240)  # the first import of torch takes long on a busy machine


@pytest.fixture
async def start(tmp_path: Path, model_folder: Path) -> AsyncIterator[Start]:
    """Starts services; kills what a test leaves."""
    started: list[Process] = []

    async def begin(**settings: str) -> Process:
        chosen = {
            "ADDRESS": "127.0.0.1:0",
            "STORE": str(tmp_path / "store"),
            "EMBEDDED_MODEL": str(model_folder),
            **settings,
        }
        environment = {**os.environ, **{f"REELGATE_GENERATOR_{key}": value for key, value in chosen.items()}}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "generator_service", stdout=PIPE, stderr=PIPE, env=environment
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def event(process: Process) -> dict[str, str]:
    assert process.stdout is not None
    found: dict[str, str] = json.loads(await process.stdout.readline())
    return found


async def health(channel: grpc.aio.Channel) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status)


async def to_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@SLOW
async def test_the_life_of_the_process(start: Start) -> None:
    """It answers before torch is there, is ready after a canary, and stops a long run between two steps."""
    process = await start()
    listening = await event(process)
    assert listening["event"] == "listening"
    async with grpc.aio.insecure_channel(listening["address"]) as channel:
        assert await health(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        stub = GeneratorServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await stub.GetModel(pb.GetModelRequest())
        assert from_rpc_error(early.value).reason == "GENERATOR_UNAVAILABLE"
        assert await event(process) == {"event": "ready"}
        assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
        call = stub.GenerateVideo(pb.GenerateVideoRequest(prompt="a ring", settings=pb.VideoSettings(steps=100)))
        for _ in range(4):
            await call.read()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await to_end(call)
        assert from_rpc_error(late.value).reason == "GENERATOR_UNAVAILABLE"
    assert await process.wait() == 0


@SLOW
async def test_a_model_that_cannot_be_loaded_ends_the_process(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = await start(EMBEDDED_MODEL=str(tmp_path / "empty"))
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"model_index.json" in said


@SLOW
@pytest.mark.parametrize(
    "settings", [{"QUEUE": "0"}, {"DEFAULT_TIER": "full"}, {"ADDRESS": "0.0.0.0:0"}, {"DRAIN_SECONDS": "-1"}], ids=str
)
async def test_settings_that_cannot_work_end_the_process(start: Start, settings: dict[str, str]) -> None:
    process = await start(**settings)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said
