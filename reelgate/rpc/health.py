"""Standard health, for the whole server and each service: NOT_SERVING until warm and while draining."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection


class Health:
    """Health and reflection of one server; ``services`` are full names."""

    def __init__(self, server: grpc.aio.Server, services: Iterable[str]) -> None:
        self._names = ("", *services)
        self._servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        reflection.enable_server_reflection([*self._names[1:], health.SERVICE_NAME, reflection.SERVICE_NAME], server)

    async def set_status(self, name: str, serving: bool) -> None:
        """Tell those who ask for ``name``: a part of the service that has a health of its own."""
        known = health_pb2.HealthCheckResponse
        await self._servicer.set(name, known.SERVING if serving else known.NOT_SERVING)

    async def set_serving(self, serving: bool) -> None:
        """Tell everyone who asks or watches."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._servicer.set(name, status)
