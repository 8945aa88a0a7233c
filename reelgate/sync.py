"""The client for code without an event loop: the same calls on a private loop in one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from reelgate import budgets as b
from reelgate import values as v
from reelgate.client import DEFAULT_ADDRESS, Client
from reelgate.rpc.errors import CallCancelledError

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

        try:
            self._client = self._wait(make())
        except BaseException:
            self._stop()
            raise

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
        self._wait(_leave(self._client))
        self._stop()

    def prepare(self, prompt: str | v.Fields, **options: Any) -> v.Prepared:
        """See `Client.prepare`."""
        return self._wait(self._client.prepare(prompt, **options))

    def generate(self, prompt: str | v.Fields, **options: Any) -> Iterator[v.Event]:
        """See `Client.generate`."""
        events: SimpleQueue[v.Event | None] = SimpleQueue()

        # One task reads to the end. Stepping the iterator from here would need its end awaited here too, and a generator may
        # be closed anywhere: by ctrl-C in the midst of a step, or by the garbage collector in the loop's own thread.
        async def read() -> None:
            try:
                async with aclosing(self._client.generate(prompt, **options)) as stream:
                    async for event in stream:
                        events.put(event)
            finally:
                events.put(None)

        reading = self._begin(read())
        try:
            while (event := events.get()) is not None:
                yield event
            _result(reading)
        finally:
            reading.cancel()

    def generate_to_file(self, prompt: str | v.Fields, path: str | Path, **options: Any) -> v.Video:
        """See `Client.generate_to_file`."""
        return self._wait(self._client.generate_to_file(prompt, path, **options))

    def get(self, name: str, **options: Any) -> v.Video:
        """See `Client.get`."""
        return self._wait(self._client.get(name, **options))

    def cancel(self, name: str, **options: Any) -> v.Video:
        """See `Client.cancel`."""
        return self._wait(self._client.cancel(name, **options))

    def videos(self, *, limit: int | None = None, **options: Any) -> list[v.Video]:
        """See `Client.videos`; the newest ``limit``, None: all."""

        async def newest() -> list[v.Video]:
            found: list[v.Video] = []
            async with aclosing(self._client.videos(**options)) as videos:
                while (limit is None or len(found) < limit) and (video := await anext(videos, None)) is not None:
                    found.append(video)
            return found

        return self._wait(newest())

    def download(self, name: str, path: str | Path) -> Path:
        """See `Client.download`."""
        return self._wait(self._client.download(name, path))

    def budget(self, tenant: str = "", **options: Any) -> b.Standing:
        """See `Client.budget`."""
        return self._wait(self._client.budget(tenant, **options))

    def set_budget(self, tenant: str, change: b.Budget | b.Raise | None, **options: Any) -> b.Standing:
        """See `Client.set_budget`."""
        return self._wait(self._client.set_budget(tenant, change, **options))

    def usage(self, tenant: str = "", **options: Any) -> list[b.UsageRow]:
        """See `Client.usage`; all rows."""

        async def all_rows() -> list[b.UsageRow]:
            return [row async for row in self._client.usage(tenant, **options)]

        return self._wait(all_rows())

    def _begin(self, awaitable: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(awaitable, self._loop)
        except RuntimeError:
            awaitable.close()
            raise RuntimeError("this client is closed") from None

    def _wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        future = self._begin(awaitable)
        try:
            return _result(future)
        except BaseException:
            future.cancel()  # ctrl-C ends the call too, not only the wait
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise CallCancelledError("the client was closed meanwhile", next_step="Ask again with an open one.") from None


async def _leave(client: Client) -> None:
    """End what other threads still wait for, and close."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.close()
