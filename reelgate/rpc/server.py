"""One server: start, serve, drain, stop. By event, never by polling; ready only when its service says so."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import grpc

from reelgate.rpc import telemetry
from reelgate.rpc.config import ServerConfig
from reelgate.rpc.health import Health
from reelgate.rpc.identity import Authenticator
from reelgate.rpc.interceptors import Call, Layers, access_log, identified, map_errors, parsed, request_ids, traced

log = logging.getLogger(__name__)
LINGER_S = 0.25
FOLLOWS_PARENT: Final = "REELGATE_FOLLOWS_PARENT"

# Full service name -> what registers its servicer, e.g. partial(add_GeneratorServiceServicer_to_server, servicer).
Services = Mapping[str, Callable[[grpc.aio.Server], None]]


class Server:
    """A grpc.aio server with our layers. Make it inside the running loop.

    ``start`` binds (health NOT_SERVING), ``set_serving(True)`` when warm, ``stop`` drains: NOT_SERVING, no new calls, calls in
    flight get ``grace_s`` to finish.
    """

    def __init__(self, config: ServerConfig, services: Services) -> None:
        self._config = config
        self._inflight = InFlight()
        authenticator = Authenticator.load(config.tokens)
        layers = [self._inflight.counted, request_ids, access_log, map_errors, parsed, identified(authenticator)]
        if telemetry.on():
            layers.insert(1, traced)
        self._server = grpc.aio.server(interceptors=[Layers(layers)], options=_options(config))
        self._health = Health(self._server, services)
        for register in services.values():
            register(self._server)
        self.port = 0

    async def start(self) -> None:
        """Bind and answer; ``port`` is the bound port. Raises RuntimeError when the address is taken."""
        if self._config.tls_certificate and self._config.tls_key:
            pair = (self._config.tls_key.read_bytes(), self._config.tls_certificate.read_bytes())
            self.port = self._server.add_secure_port(self._config.bind, grpc.ssl_server_credentials([pair]))
        else:
            self.port = self._server.add_insecure_port(self._config.bind)
        await self._health.set_serving(False)
        await self._server.start()
        log.info("listening", extra={"bind": self._config.bind, "port": self.port})

    async def set_serving(self, serving: bool) -> None:
        """Health: SERVING when warm, NOT_SERVING when the service cannot do its work."""
        await self._health.set_serving(serving)

    async def set_status(self, name: str, serving: bool) -> None:
        """Health of a part of the service, under a name of its own."""
        await self._health.set_status(name, serving)

    async def stop(self) -> None:
        """Drain, then stop. Returns as soon as the last call has ended, at the latest after the grace."""
        await self._health.set_serving(False)
        stopping = asyncio.create_task(self._server.stop(self._config.grace_s))
        # Health watchers never hang up, so the end of our own calls ends the wait.
        idle = asyncio.create_task(self._inflight.idle.wait())
        await asyncio.wait((stopping, idle), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        # Not at once: closing under a client that still reads resets the connection, and the tail of its answer is lost.
        await self._server.stop(LINGER_S)
        await stopping


class InFlight:
    """Counts the calls of our services; ``idle`` is set while there are none."""

    def __init__(self) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._count = 0

    @asynccontextmanager
    async def counted(self, call: Call) -> AsyncIterator[None]:
        if not call.is_open:
            self._count += 1
            self.idle.clear()
            # Not when the handler returns: its answer has yet to be sent, and stopping would cut it off.
            call.context.add_done_callback(self._ended)  # type: ignore[arg-type]  # the stubs name a class where grpc takes a callable
        yield

    def _ended(self, _: object) -> None:
        self._count -= 1
        if not self._count:
            self.idle.set()


def settle() -> None:
    """Once a process has loaded what it serves with: nothing of that is looked at again for garbage. A full collection over some
    ten thousand objects of imported libraries takes 40 ms, and every call in that moment waits for it."""
    gc.collect()
    gc.freeze()


def stop_event() -> asyncio.Event:
    """Set at SIGTERM, at SIGINT, and when the terminal closes (unless nohup says otherwise). Needs the main thread's loop.

    With ``FOLLOWS_PARENT`` in the environment also when standard input ends: it is a pipe that nobody writes to and that a
    parent holds open while it lives, however it dies.
    """
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        with suppress(NotImplementedError):  # Windows has no loop signals
            loop.add_signal_handler(number, event.set)
    if os.environ.get(FOLLOWS_PARENT):

        def gone() -> None:
            loop.remove_reader(0)
            event.set()

        loop.add_reader(0, gone)
    return event


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's main coroutine on uvloop, or on asyncio where there is none."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


# gRPC's own is five minutes, and who pings more often three times is cut off.
PINGS_APART_MS: Final = 10_000


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.so_reuseport", int(config.reuse_port)),
        # A peer that vanished is noticed, and a client may ping as often as ours do.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", PINGS_APART_MS),
    ]
