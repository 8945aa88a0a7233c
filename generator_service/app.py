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
from generator_service.runner import Runner
from generator_service.servicer import GeneratorServicer
from generator_service.settings import Settings
from generator_service.store import Store
from generator_service.tier import Tier
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
    """A running service. ``ready`` ends when the models are loaded and a canary ran, or raises why they are not."""

    server: Server
    ready: asyncio.Task[None]
    metrics_port: int = 0
    """Where ``/metrics`` is served; 0: nowhere."""


@asynccontextmanager
async def running(settings: Settings, load: Load | None = None) -> AsyncIterator[App]:
    """The service for as long as the block lasts; running work stops between two steps when it ends.

    ``load`` stands instead of `load_engines` where the engines are there already. Raises ``ValueError`` for bad settings.
    """
    tiers = settings.tiers()
    store = await asyncio.to_thread(Store, settings.store, settings.store_options)
    governor = Governor(settings.limits(tiers.values()), memory_bytes=settings.memory_bytes, measure=load is None)
    runner = Runner(
        store,
        load or partial(load_engines, settings, tiers),
        queue=settings.queue,
        governor=governor,
        lease_seconds=settings.lease_seconds,
        pace=Pace(steps=settings.snapshot_steps, seconds=settings.snapshot_seconds),
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
        await tell_health(server, governor)

    ready = asyncio.create_task(get_ready())
    watching = asyncio.create_task(watch())
    try:
        with exposed(settings.metrics_address, runner.metrics.registry) as port:
            yield App(server=server, ready=ready, metrics_port=port)
    finally:
        ready.cancel()
        watching.cancel()
        # Streams in flight end when their runs stop, so both go on at once.
        await asyncio.gather(server.stop(), runner.stop())
        await asyncio.gather(ready, watching, return_exceptions=True)


def load_engines(settings: Settings, tiers: Mapping[str, Tier]) -> dict[str, Engine]:
    """The engines of ``tiers``, each after a canary: one denoise step and a decode of the smallest video.

    Runs in the stepping thread: torch keeps its number of threads by thread, and its import takes seconds.
    """
    import torch

    from generator_service import offload, wan
    from generator_service.engine import Engine

    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.threads:
        torch.set_num_threads(settings.threads)
    engines: dict[str, Engine] = {}
    for tier in tiers.values():
        parts = wan.load(tier, torch.device(name))
        offload.apply(parts, offload.OFFLOADS[tier.offload])
        engines[tier.tier] = Engine(parts)
        engines[tier.tier].canary()
        log.info("tier loaded", extra={"tier": tier.tier, "device": name})
    return engines


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Standard output tells a parent process the address, and when we are ready."""
    with telemetry.exporting("reelgate-generator", settings.tracing()):
        await serve(settings)


async def serve(settings: Settings) -> None:
    """`main` without its traces."""
    stop = stop_event()
    async with running(settings) as app:
        say("listening", address=f"{settings.address.rpartition(':')[0]}:{app.server.port}")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((stopped, app.ready), return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            await app.ready  # raises what kept the models from loading
            say("ready")
        await stopped


def say(event: str, **fields: str) -> None:
    """One JSON line on standard output."""
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - a parent process reads it
