"""A registry of Prometheus figures, served over HTTP for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a client needs no prometheus-client
    from prometheus_client import CollectorRegistry


@contextmanager
def exposed(address: str, registry: CollectorRegistry) -> Iterator[int]:
    """``/metrics`` over HTTP at ``host:port`` (port 0 takes a free one) while the block lasts; yields the port, 0 where
    ``address`` is empty and nothing is served. Raises ``OSError`` when the address is taken."""
    if not address:
        yield 0
        return
    from prometheus_client import start_http_server

    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
