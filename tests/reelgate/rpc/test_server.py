"""Start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc import channel as channel_module
from reelgate.rpc import server as server_module
from reelgate.rpc.config import ChannelConfig
from tests.reelgate.rpc.scripted import SERVICE, Scripted, connected, served
from tests.reelgate.wire import relayed

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
ROOT = Path(__file__).resolve().parents[3]


async def status(channel: Any, service: str) -> Any:
    return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))).status


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_health_follows_the_service(name: str, server: Any, raw: Any) -> None:
    assert await status(raw, name) == SERVING
    await server.set_serving(False)
    assert await status(raw, name) == NOT_SERVING


async def test_reflection_lists_the_service(raw: Any) -> None:
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(raw).ServerReflectionInfo(iter([ask]))
    async for answer in call:
        assert SERVICE in {s.name for s in answer.list_services_response.service}
        break
    call.cancel()


async def test_a_draining_server_finishes_what_it_has_and_takes_nothing_new() -> None:
    servicer = Scripted()
    async with served(servicer) as server, connected(server.port) as stub:
        events = [event async for event in _until_started(stub, servicer)]
        watch = health_pb2_grpc.HealthStub(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"))
        watching = watch.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == SERVING
        call = events[0]
        stopping = asyncio.create_task(server.stop())
        assert (await watching.read()).status == NOT_SERVING
        async with connected(server.port) as late:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await late.GetVideo(pb.GetVideoRequest(), timeout=2)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        started = time.monotonic()
        servicer.release.set()
        assert (await call.read()).video.name == "videos/1"
        await stopping
        assert time.monotonic() - started < 3  # long before the grace: a watcher does not hold the server


async def test_an_answer_that_is_still_being_sent_when_the_server_stops_arrives_whole() -> None:
    servicer = Scripted()
    servicer.big = True
    async with served(servicer) as server, relayed(server.port) as relay, connected(relay.port) as stub:
        asking = asyncio.ensure_future(stub.GetVideo(pb.GetVideoRequest(), timeout=30))
        await servicer.started.wait()
        relay.flowing.clear()
        servicer.release.set()
        stopping = asyncio.create_task(server.stop())
        done, _ = await asyncio.wait({stopping, asking}, timeout=0.5)
        assert not done
        relay.flowing.set()
        assert len((await asking).video.name) == 4_000_000
        await stopping


async def _until_started(stub: Any, servicer: Scripted) -> Any:
    call = stub.GenerateVideo(pb.GenerateVideoRequest())
    await call.read()
    await servicer.started.wait()
    yield call


async def test_a_call_that_outlives_the_grace_is_cancelled() -> None:
    servicer = Scripted()
    async with served(servicer, grace_s=0.1) as server, connected(server.port) as stub:
        call = stub.GenerateVideo(pb.GenerateVideoRequest())
        await call.read()
        await asyncio.wait_for(server.stop(), 5)
        assert servicer.cancelled.is_set()


async def test_a_taken_port_is_refused(server: Any) -> None:
    with pytest.raises(RuntimeError, match="bind"):
        async with served(Scripted(), bind=f"127.0.0.1:{server.port}"):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_cleanly(number: signal.Signals) -> None:
    import subprocess

    script = """
import asyncio
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.server import Server, run, stop_event
async def main():
    stop = stop_event()
    server = Server(ServerConfig(), {})
    await server.start()
    await server.set_serving(True)
    print("ready", flush=True)
    await stop.wait()
    await server.stop()
    print("stopped", flush=True)
run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "stopped\n"
        assert process.wait(10) == 0


@pytest.mark.parametrize(("apart_ms", "cut"), [(100, False), (10_000, True)], ids=["as often as allowed", "more often"])
async def test_a_client_that_waits_without_a_word_may_ping_meanwhile(
    servicer: Scripted, monkeypatch: pytest.MonkeyPatch, apart_ms: int, cut: bool
) -> None:
    """As in a long queue: at three pings that come too soon gRPC would end the connection, and all calls on it."""
    monkeypatch.setattr(server_module, "PINGS_APART_MS", apart_ms)
    pings = [("grpc.keepalive_time_ms", 300), ("grpc.http2.max_pings_without_data", 0)]
    async with (
        served(servicer, grace_s=0.2) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=pings) as channel,
    ):
        call = GeneratorServiceStub(channel).GenerateVideo(pb.GenerateVideoRequest())
        assert (await call.read()).accepted.name
        waiting = asyncio.create_task(call.read())
        done, _ = await asyncio.wait({waiting}, timeout=4.0)
        assert bool(done) == cut
        servicer.release.set()
        if cut:
            with pytest.raises(grpc.aio.AioRpcError, match="Too many pings"):
                await waiting
        else:
            assert (await waiting).video.name


def test_our_clients_ping_less_often_than_our_servers_allow() -> None:
    options = dict(channel_module._options(ChannelConfig(target="127.0.0.1:1")))
    assert int(options["grpc.keepalive_time_ms"]) > 2 * server_module.PINGS_APART_MS
