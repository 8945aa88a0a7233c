"""A channel: retries for UNAVAILABLE, the token, and what a call made on behalf of another inherits from it."""

from __future__ import annotations

import json
from typing import Any

import grpc

from reelgate.rpc import logs, telemetry
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.outgoing import remaining_time


def connect(config: ChannelConfig) -> grpc.aio.Channel:
    """Open a channel (it connects when first used). Make it inside the running loop and close it with ``await channel.close()``."""
    interceptors: list[grpc.aio.ClientInterceptor] = [_UnaryHeaders(config), _StreamHeaders(config)]
    options = _options(config)
    if config.tls:
        authorities = config.tls_ca.read_bytes() if config.tls_ca else None
        credentials = grpc.ssl_channel_credentials(authorities)
        return grpc.aio.secure_channel(config.target, credentials, options=options, interceptors=interceptors)
    return grpc.aio.insecure_channel(config.target, options=options, interceptors=interceptors)


def _options(config: ChannelConfig) -> list[tuple[str, str | int]]:
    return [
        ("grpc.service_config", json.dumps({"methodConfig": [_method_config(config)]})),
        ("grpc.enable_retries", int(config.attempts > 1)),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", -1),  # the server says what is too large, and says why
        # A video may wait in the queue without a word for minutes: a server that vanished is noticed all the same.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A restarted server is found within seconds; the default grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Channels of one process must not share a connection: each is closed by its owner.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def _method_config(config: ChannelConfig) -> dict[str, Any]:
    every_method: dict[str, Any] = {"name": [{}]}
    if config.attempts > 1:
        every_method["retryPolicy"] = {
            "maxAttempts": config.attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
    return every_method


class _Headers:
    def __init__(self, config: ChannelConfig) -> None:
        self._token, self._begins = config.token, config.begins_traces

    async def _call(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        details = self._dress(details)
        if not telemetry.on() or details.metadata is None:
            return await continuation(details, request)
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        span = telemetry.outgoing(method, details.metadata, begins=self._begins)
        if span is None:
            return await continuation(details, request)
        try:
            call = await continuation(details, request)
        except BaseException:
            span.end()
            raise

        def ended(done: Any) -> None:
            telemetry.answered(span, _code(done))
            span.end()

        call.add_done_callback(ended)
        return call

    def _dress(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if self._token and metadata.get("authorization") is None:
            metadata.add("authorization", f"Bearer {self._token}")
        if (current := logs.request_id.get()) and metadata.get(logs.REQUEST_ID_HEADER) is None:
            metadata.add(logs.REQUEST_ID_HEADER, current)
        timeout = remaining_time(details.timeout)
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _UnaryHeaders(_Headers, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamHeaders(_Headers, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


def _code(done: Any) -> str:
    """The name of the status of a call that is over. It is asked for by a coroutine, which has nothing to wait for then."""
    asking = done.code()
    try:
        asking.send(None)
    except StopIteration as answer:
        return str(answer.value.name)
    asking.close()
    return "UNKNOWN"
