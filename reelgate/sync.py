"""The client for code without an event loop: the same calls on a private loop in one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from reelgate import values as v
from reelgate.client import DEFAULT_ADDRESS, Client

T = TypeVar("T")


class SyncClient:
    """As `reelgate.Client`, blocking.

        with SyncClient() as reelgate:
            reelgate.generate_to_file("A red ball rolls to the left on grass", "ball.mp4")

    Keyword arguments and errors are those of `Client`'s methods. Safe from several threads.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, token: str | None = None, tls: bool = False) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reelgate-client", daemon=True)
        self._thread.start()

        async def make() -> Client:
            return Client(address, token=token, tls=tls)

        self._client = self._wait(make())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and its thread. Runs go on. A second call does nothing."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def prepare(self, prompt: str | v.Fields, **options: Any) -> v.Prepared:
        """See `Client.prepare`."""
        return self._wait(self._client.prepare(prompt, **options))

    def generate(self, prompt: str | v.Fields, **options: Any) -> Iterator[v.Event]:
        """See `Client.generate`."""
        events: AsyncIterator[v.Event] = self._client.generate(prompt, **options)
        try:
            while (event := self._wait(_next(events))) is not None:
                yield event
        finally:
            self._wait(_close(events))

    def generate_to_file(self, prompt: str | v.Fields, path: str | Path, **options: Any) -> v.Video:
        """See `Client.generate_to_file`."""
        return self._wait(self._client.generate_to_file(prompt, path, **options))

    def get(self, name: str, **options: Any) -> v.Video:
        """See `Client.get`."""
        return self._wait(self._client.get(name, **options))

    def cancel(self, name: str, **options: Any) -> v.Video:
        """See `Client.cancel`."""
        return self._wait(self._client.cancel(name, **options))

    def download(self, name: str, path: str | Path) -> Path:
        """See `Client.download`."""
        return self._wait(self._client.download(name, path))

    def _wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result()


async def _next(events: AsyncIterator[v.Event]) -> v.Event | None:
    return await anext(events, None)


async def _close(events: AsyncIterator[v.Event]) -> None:
    close: Awaitable[None] = events.aclose()  # type: ignore[attr-defined]  # an async generator, typed as its protocol
    await close
