"""The service: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from reelgate.preprocess.v1.preprocess_pb2_grpc import (
    add_PreprocessServiceServicer_to_server,
    add_UsageServiceServicer_to_server,
)
from reelgate.rpc import telemetry
from reelgate.rpc.config import ChannelConfig, ServerConfig
from reelgate.rpc.exposition import exposed
from reelgate.rpc.server import Server, settle, stop_event

from . import tokens
from .budgets import opening
from .budgets.abnormal import Abnormal
from .budgets.figures import BudgetFigures
from .cache import PromptCache
from .cache_redis import Shared
from .estimates import Estimates
from .generator import Generator
from .metrics import Metrics
from .pipeline import Line
from .preparer import Preparer
from .run import Rewriter, Similarity
from .servicer import PreprocessServicer
from .settings import Settings
from .tenant_labels import TenantLabels
from .tenants import Tenants
from .worker import Worker

LINE_THREADS = 32
"""Prompts that wait for BART together: enough that those of about equal length fill a batch."""
if TYPE_CHECKING:
    from .summarise.bart import Bart

SERVICE = "reelgate.preprocess.v1.PreprocessService"
SPARE = 2
"""Threads of the worker that are left when as many prompts as BART takes are waiting for it: the others go past it."""


@dataclass(kw_only=True)
class App:
    """A running service. ``ready`` is set while the generator can be reached and counts as we do."""

    server: Server
    generator: Generator
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    metrics_port: int = 0
    """Where ``/metrics`` is served; 0: nowhere."""
    shared: Shared | None = None
    """Redis behind the cache."""
    budgets: opening.Budgets | None = None

    async def changed(self, is_open: bool) -> None:
        """The generator came or went."""
        await self.server.set_serving(is_open)
        (self.ready.set if is_open else self.ready.clear)()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[App]:
    """The service for as long as the block lasts; it drains when the block ends. Raises ``ValueError`` for bad settings."""
    rewriter = load_rewriter(settings)
    try:
        worker = Worker(queue=settings.worker_queue, threads=rewriter.room + SPARE if rewriter else 1)
        async with serving(settings, load_lines(settings, rewriter), worker) as app:
            yield app
    finally:
        if rewriter:
            await asyncio.to_thread(rewriter.close)


@asynccontextmanager
async def serving(
    settings: Settings, lines: dict[str, Line], worker: Worker, books: opening.Keeping | None = None
) -> AsyncIterator[App]:
    """The service over ``lines``, which stay the caller's; ``worker`` is closed, as are ``books`` (None: those of the settings)."""
    channel = ChannelConfig(
        target=settings.generator, token=settings.generator_token or None, attempts=1, begins_traces=False
    )
    fingerprints = {tier: line.tokenizer.fingerprint for tier, line in lines.items()}
    generator = Generator(channel, fingerprints, probe_seconds=settings.probe_seconds)
    metrics = Metrics(TenantLabels(settings.metrics_tenants))
    figures = BudgetFigures(metrics.registry, metrics.tenants)
    abnormal = Abnormal(figures.raised)
    shared = open_shared(settings, metrics)
    ttl = settings.cache_ttl_seconds
    cache = PromptCache(room=settings.cache_megabytes << 20, ttl=ttl, metrics=metrics, shared=shared)
    estimates = Estimates(generator)
    tenants = Tenants(settings.tenants)
    preparer = Preparer(settings, lines, worker, cache, metrics, tenants, abnormal)
    kept = books or await opening.keeping(settings)
    budgets = opening.opened(settings, generator, tenants.filed, kept, figures, abnormal)
    # What is not built is answered by the base class, which the stubs call abstract.
    servicer = PreprocessServicer(preparer, generator, estimates, budgets.gate if budgets else None)  # type: ignore[abstract]
    config = ServerConfig(bind=settings.address, tokens=settings.token_file, grace_s=settings.drain_seconds)
    services = {SERVICE: partial(add_PreprocessServiceServicer_to_server, servicer)}
    if budgets:
        services[opening.SERVICE] = partial(add_UsageServiceServicer_to_server, budgets.servicer)
    server = Server(config, services)
    app = App(server=server, generator=generator, shared=shared, budgets=budgets)
    await server.start()
    watching = asyncio.create_task(generator.watch(app.changed))
    if budgets:
        budgets.start()
    try:
        with exposed(settings.metrics_address, metrics.registry) as app.metrics_port:
            yield app
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await server.stop()
        if budgets:
            await budgets.close()
        worker.close()
        await cache.close()
        await estimates.close()
        await generator.close()


def open_shared(settings: Settings, metrics: Metrics) -> Shared | None:
    """Redis, where one is set. Raises ``ValueError`` for a URL that is none."""
    if not settings.cache_redis:
        return None
    timeout = settings.cache_redis_timeout_ms / 1000
    return Shared(settings.cache_redis, ttl=settings.cache_ttl_seconds, timeout=timeout, metrics=metrics)


def load_rewriter(settings: Settings) -> Bart | None:
    """BART, warm, where one is configured. ctranslate2 is imported only then, torch only where BART shall run on it."""
    if not settings.bart:
        return None
    with needs_extra("bart"):
        from .summarise import bart

        return bart.load(
            settings.bart,
            backend=settings.bart_backend,
            compute=settings.bart_compute,
            beams=settings.bart_beams,
            threads=settings.bart_threads,
            queue=settings.bart_queue,
            cache=settings.bart_cache,
        )


def load_similarity(settings: Settings) -> Similarity | None:
    """The sentence encoder, where one is configured. Raises ``ValueError`` where it is not to be had."""
    if not settings.semantic:
        return None
    with needs_extra("semantic"):
        from . import semantic

        return semantic.load(settings.semantic, cache=settings.bart_cache)


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """A setting asks for what an extra brings: without it that is a setting that cannot work, ``ValueError``."""
    try:
        yield
    except ModuleNotFoundError as error:
        setting = f"REELGATE_PREPROCESS_{name.upper()}"
        raise ValueError(f"{setting} needs {error.name}: pip install 'reelgate[{name}]'") from error


def load_lines(settings: Settings, rewriter: Rewriter | None = None) -> dict[str, Line]:
    """One line a tier. Raises ``ValueError`` for settings that name no tokenizer, or a file that is none."""
    if settings.default_tier not in settings.tokenizers:
        raise ValueError(
            f"no tokenizer is configured for the default tier {settings.default_tier!r}: name it in REELGATE_PREPROCESS_TOKENIZERS"
        )
    similarity = load_similarity(settings)
    return {
        tier: Line(tokenizer=tokens.load(path), rewriter=rewriter, similarity=similarity)
        for tier, path in settings.tokenizers.items()
    }


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Standard output tells a parent process the address, and when we are ready."""
    with telemetry.exporting("reelgate-preprocess", settings.tracing()):
        await serve(settings)


async def serve(settings: Settings) -> None:
    """`main` without its traces."""
    stop = stop_event()
    async with running(settings) as app:
        settle()
        host = settings.address.rpartition(":")[0]
        say("listening", address=f"{host}:{app.server.port}")
        stopped = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(app.ready.wait())
        await asyncio.wait((stopped, ready), return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            say("ready")
        ready.cancel()
        await stopped


def say(event: str, **fields: str) -> None:
    """One JSON line on standard output."""
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - a parent process reads it
