"""The real preprocess_service on loopback, with the small real generator behind it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from preprocess_service import tokens
from preprocess_service.app import running
from preprocess_service.settings import Settings, embedded_tokenizer
from tests.preprocess_service.generator_twin import Twin, serve

PROMPT = "A red ball rolls to the left."
NAME = f"videos/{hashlib.sha256(PROMPT.encode()).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Where clients connect, and the generator that answers."""

    port: int
    twin: Twin

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def gated() -> AsyncIterator[Gate]:
    """Both, serving."""
    twin = Twin({"embedded": tokens.fingerprint_of(embedded_tokenizer())})
    server = await serve(twin)
    try:
        settings = Settings(address="127.0.0.1:0", generator=f"127.0.0.1:{server.port}", drain_seconds=0.2)
        async with running(settings) as app:
            await asyncio.wait_for(app.ready.wait(), 30)
            yield Gate(port=app.server.port, twin=twin)
    finally:
        await server.stop()
