"""A real connection that can be held or cut: a small TCP relay in front of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Passes bytes on. Answers wait while ``flowing`` is clear; once ``cut_after`` bytes of answers went by, the connection breaks,
    once."""

    def __init__(self, port: int, *, cut_after: int | None = None) -> None:
        self._to = port
        self._left = cut_after
        self.flowing, self.cut = asyncio.Event(), asyncio.Event()
        self.flowing.set()
        self.port = 0
        self._open: set[asyncio.Task[None]] = set()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [
            asyncio.create_task(self._pass(reader, far_writer, answers=False)),
            asyncio.create_task(self._pass(far_reader, writer, answers=True)),
        ]
        self._open.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if not reader.at_eof() and not self.cut.is_set():
            await asyncio.wait(ways[1:], timeout=5)  # the server hung up: what it had said still goes through
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._open.difference_update(ways)
        for end in (writer, far_writer):
            end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(16 * 1024):
                if answers:
                    await self.flowing.wait()
                    if self._counts(len(data)):
                        return
                writer.write(data)
                await writer.drain()

    def _counts(self, size: int) -> bool:
        """Whether the connection breaks now."""
        if self._left is None or self.cut.is_set():
            return False
        self._left -= size
        if self._left < 0:
            self.cut.set()
        return self._left < 0

    async def close(self) -> None:
        for way in list(self._open):
            way.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@asynccontextmanager
async def relayed(port: int, *, cut_after: int | None = None) -> AsyncIterator[Relay]:
    relay = Relay(port, cut_after=cut_after)
    server = await asyncio.start_server(relay._connection, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
