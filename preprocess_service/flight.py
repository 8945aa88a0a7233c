"""Work that many ask for at once is done once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from reelgate.rpc.errors import ReelgateError

T = TypeVar("T")


class Flights(Generic[T]):
    """Joins equal work. It runs in a task of its own, so no caller that leaves, the first one neither, takes it from the rest."""

    def __init__(self) -> None:
        self._flying: dict[bytes, asyncio.Task[T]] = {}
        self.joined = 0
        """Callers that found their work under way."""

    async def once(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work``, or of the equal work already under way. Raises what it raised, each caller its own copy."""
        task = self._flying.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._flying[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        else:
            self.joined += 1
        try:
            return await asyncio.shield(task)
        except ReelgateError as error:
            # The interceptor writes the caller's request id into the error.
            raise copy.copy(error) from error

    async def close(self) -> None:
        """Stop what is still under way."""
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    def _landed(self, key: bytes, task: asyncio.Task[T]) -> None:
        self._flying.pop(key, None)
        if not task.cancelled():
            task.exception()  # every caller may have left; asyncio would log an error that nobody fetched


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
