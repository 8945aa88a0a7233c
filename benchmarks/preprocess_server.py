"""The service of benchmarks/preprocess.py in a process of its own: the real layers, line and cache, and beside them a raw echo.

python -m benchmarks.preprocess_server     prints its two ports and serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preprocess_service.app import SERVICE, load_lines
from preprocess_service.cache import PromptCache
from preprocess_service.estimates import Estimates
from preprocess_service.metrics import Metrics
from preprocess_service.preparer import Preparer
from preprocess_service.servicer import PreprocessServicer
from preprocess_service.settings import Settings
from preprocess_service.worker import Worker
from reelgate.generator.v1.generator_pb2 import EstimateVideoRequest, EstimateVideoResponse
from reelgate.preprocess.v1.preprocess_pb2_grpc import add_PreprocessServiceServicer_to_server
from reelgate.rpc import logs
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.exposition import exposed
from reelgate.rpc.server import Server, run, settle


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """``/bench.Echo/<size>`` answers ``size`` raw bytes of what it was sent, over and over: same bytes out as the real call."""

    def service(self, details: Any) -> Any:
        if not details.method.startswith("/bench.Echo/"):
            return None
        size = int(details.method.rpartition("/")[2])

        async def echo(request: bytes, context: Any) -> bytes:
            return (request * (size // len(request) + 1))[:size]

        return grpc.unary_unary_rpc_method_handler(echo, request_deserializer=bytes)


class Open:
    """A generator that is there and answers at once: what the service asks of it for a dry run."""

    open_tiers = frozenset(("embedded",))

    async def estimate(self, request: EstimateVideoRequest) -> EstimateVideoResponse:
        return EstimateVideoResponse(device_ms_p50=300, device_ms_p95=400)


async def serve() -> None:
    """Until standard input ends."""
    settings, metrics = Settings(), Metrics()
    cache = PromptCache(room=settings.cache_megabytes << 20, ttl=settings.cache_ttl_seconds, metrics=metrics)
    preparer = Preparer(settings, load_lines(settings), Worker(queue=settings.worker_queue), cache, metrics)
    generator: Any = Open()
    servicer: Any = PreprocessServicer(preparer, generator, Estimates(generator))  # type: ignore[abstract]
    services = {
        SERVICE: partial(add_PreprocessServiceServicer_to_server, servicer),
        "bench.Echo": lambda server: server.add_generic_rpc_handlers((Echo(),)),
    }
    server = Server(ServerConfig(), services)
    await server.start()
    settle()
    with exposed("127.0.0.1:0", metrics.registry) as port:
        print(json.dumps({"port": server.port, "metrics": port}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    logs.configure(stream=open(os.devnull, "w"))  # noqa: SIM115 - the access log is written as in production, to nowhere
    run(serve())
