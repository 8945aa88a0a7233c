"""The service: start, load, serve, drain, stop."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from generator_service.governor import Governor
from generator_service.health import LIVENESS, tell_health
from generator_service.loader import Loader
from generator_service.runner import Runner
from generator_service.servicer import GeneratorServicer
from generator_service.settings import Settings
from generator_service.store import Store
from generator_service.watchdog import DeviceLostError
from generator_service.worker import Pace
from reelgate.generator.v1.generator_pb2_grpc import add_GeneratorServiceServicer_to_server
from reelgate.rpc import telemetry
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.exposition import exposed
from reelgate.rpc.server import Server, stop_event

if TYPE_CHECKING:
    from generator_service.engine import Engine

log = logging.getLogger(__name__)
SERVICE = "reelgate.generator.v1.GeneratorService"
Load = Callable[[], "Mapping[str, Engine]"]


@dataclass(kw_only=True)
class App:
    """A running service. ``ready`` ends when the models are loaded and a canary ran, or raises why they are not. ``broken`` is set
    once nothing can be stepped in this process any more."""

    server: Server
    ready: asyncio.Task[None]
    broken: asyncio.Event
    metrics_port: int = 0
    """Where ``/metrics`` is served; 0: nowhere."""


@asynccontextmanager
async def running(settings: Settings, load: Load | None = None) -> AsyncIterator[App]:
    """The service for as long as the block lasts; running work stops between two steps when it ends.

    ``load`` stands instead of a `Loader` where the engines are there already. Raises ``ValueError`` for bad settings.
    """
    tiers = settings.tiers()
    loop, broken = asyncio.get_running_loop(), asyncio.Event()

    def lost() -> None:
        loop.call_soon_threadsafe(broken.set)

    loader = Loader(settings, tiers, lost)
    store = await asyncio.to_thread(Store, settings.store, settings.store_options)
    governor = Governor(settings.limits(tiers.values()), memory_bytes=settings.memory_bytes, measure=load is None)
    runner = Runner(
        store,
        load or loader,
        queue=settings.queue,
        governor=governor,
        lease_seconds=settings.lease_seconds,
        pace=Pace(steps=settings.snapshot_steps, seconds=settings.snapshot_seconds),
        died=broken.set,
    )
    # What is not built yet is abstract in the stubs; at run time the base answers UNIMPLEMENTED.
    servicer = GeneratorServicer(runner, store, settings.default_tier)  # type: ignore[abstract]
    config = ServerConfig(bind=settings.address, tokens=settings.token_file, grace_s=settings.drain_seconds)
    server = Server(config, {SERVICE: partial(add_GeneratorServiceServicer_to_server, servicer)})
    await server.start()

    async def get_ready() -> None:
        await server.set_status(LIVENESS, True)
        servicer.serve(await runner.start())
        await server.set_serving(True)

    async def watch() -> None:
        await ready
        await tell_health(server, runner)

    ready = asyncio.create_task(get_ready())
    watching = asyncio.create_task(watch())
    try:
        with exposed(settings.metrics_address, runner.metrics.registry) as port:
            yield App(server=server, ready=ready, broken=broken, metrics_port=port)
    finally:
        ready.cancel()
        watching.cancel()
        # Streams in flight end when their runs stop, so both go on at once.
        await asyncio.gather(server.stop(), runner.stop())
        await asyncio.gather(ready, watching, return_exceptions=True)
        await asyncio.to_thread(loader.close)


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Standard output tells a parent process the address, and when we are ready."""
    with telemetry.exporting("reelgate-generator", settings.tracing()):
        await serve(settings)


async def serve(settings: Settings) -> None:
    """`main` without its traces."""
    stop = stop_event()
    async with running(settings) as app:
        say("listening", address=f"{settings.address.rpartition(':')[0]}:{app.server.port}")
        stopped, broken = asyncio.create_task(stop.wait()), asyncio.create_task(app.broken.wait())
        await asyncio.wait((stopped, app.ready), return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            await app.ready  # raises what kept the models from loading, and the group from coming together
            say("ready")
            await asyncio.wait((stopped, broken), return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            raise DeviceLostError(
                "the device, or a process that shares its steps, is lost: a new process goes on from the snapshots"
            )


def say(event: str, **fields: str) -> None:
    """One JSON line on standard output."""
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - a parent process reads it
