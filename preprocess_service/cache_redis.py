"""Redis as a level that several processes share. It may be slow, gone or full of rubbish: the line then goes on without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .metrics import Metrics

log = logging.getLogger(__name__)
T = TypeVar("T")
PREFIX: Final = b"reelgate:prompt:1:"
CONNECTIONS: Final = 8
"""Commands at a time; more of them would wait for each other longer than the line takes."""
FAILURES: Final = 3
"""So many failures in a row open the breaker."""
CONNECT_SECONDS: Final = 2.0
PAUSE_FIRST, PAUSE_LAST = 0.25, 15.0


class Shared:
    """Values by key in one Redis. Make it inside the running loop; no method raises for what Redis does.

    ``in_use`` is the breaker: it is cleared while Redis is left alone, from the start on, until a task beside the calls has
    connected and got an answer in time. So no call ever waits for a connection to be made, nor, ``FAILURES`` times in a row aside, for
    more than ``timeout`` seconds. Raises ``ValueError`` for a URL that is none.
    """

    def __init__(self, url: str, *, ttl: float, timeout: float, metrics: Metrics) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            max_connections=CONNECTIONS + 1,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the breaker decides; the client's own retries would cost the caller's time
            protocol=2,
        )
        self._ttl_ms, self._timeout = max(1, int(ttl * 1000)), timeout
        self._troubles = metrics.redis_troubles
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._failures = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.in_use = asyncio.Event()
        self._spawn(self._revive())

    async def get(self, key: bytes) -> bytes | None:
        """The bytes of ``key``; None where there are none, and whenever Redis does not say so in time."""
        answer = await self._ask(self._redis.get(PREFIX + key.hex().encode()))
        return answer if isinstance(answer, bytes) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Store ``value`` beside the call; it is dropped where Redis cannot take it in time."""
        if self.in_use.is_set():
            self._spawn(self._ask(self._redis.set(PREFIX + key.hex().encode(), value, px=self._ttl_ms)))

    async def close(self) -> None:
        """Let go of the connections; what was under way is dropped."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _ask(self, command: Awaitable[T]) -> T | None:
        if not self.in_use.is_set() or self._free.locked():
            self._troubles["busy" if self.in_use.is_set() else "open"].inc()
            _never_awaited(command)
            return None
        async with self._free:
            try:
                answer = await self._in_time(command)
            except TimeoutError:
                self._failed("timeout")
            except (RedisError, OSError):
                self._failed("down")
            else:
                self._failures = 0
                return answer
        return None

    async def _in_time(self, command: Awaitable[T]) -> T:
        """Raises ``TimeoutError``. A loop that was held up itself does not blame Redis: the answer gets a second look."""
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(command)
        try:
            for _ in range(2):
                began = loop.time()
                await asyncio.wait((task,), timeout=self._timeout)
                if task.done():
                    return task.result()
                if loop.time() - began < 2 * self._timeout:
                    break
            raise TimeoutError
        finally:
            if not task.done():
                task.cancel()

    def _failed(self, cause: str) -> None:
        self._troubles[cause].inc()
        self._failures += 1
        if self._failures >= FAILURES and self.in_use.is_set():
            log.warning("redis is left out", extra={"cause": cause})
            self.in_use.clear()
            self._spawn(self._revive())

    async def _revive(self) -> None:
        """Connect, and close the breaker once an answer comes in time; again and again, with longer and longer pauses."""
        pause = PAUSE_FIRST
        while True:
            with suppress(TimeoutError, RedisError, OSError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.gather(*(self._redis.ping() for _ in range(CONNECTIONS)))
                await self._in_time(self._redis.ping())
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_LAST)
        self._failures = 0
        self.in_use.set()
        log.info("redis is in use")

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _never_awaited(command: Any) -> None:
    if hasattr(command, "close"):
        command.close()
