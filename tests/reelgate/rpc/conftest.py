"""A real server, and real clients to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from reelgate.rpc.server import Server
from tests.reelgate.rpc.scripted import Scripted, connected, served


@pytest.fixture
async def servicer() -> Scripted:
    return Scripted()


@pytest.fixture
async def server(servicer: Scripted) -> AsyncIterator[Server]:
    async with served(servicer, grace_s=0.2) as server:
        yield server


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[Any]:
    async with connected(server.port) as stub:
        yield stub


@pytest.fixture
async def raw(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A channel without any of our code."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
