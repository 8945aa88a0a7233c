"""Asks a service's standard health."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2

from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig


async def serving(address: str, seconds: float, service: str = "") -> str:
    """``SERVING``, ``NOT_SERVING``, or why nobody answered within ``seconds``. ``service``: of a part, as health names it."""
    channel = connect(ChannelConfig(target=address, attempts=1))
    try:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    finally:
        await channel.close()
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
