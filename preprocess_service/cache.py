"""Frequent prompts: what the line made of them is found again instead of made again.

Four places are asked in turn. ``raw``: the very bytes of the request, answered with the bytes of the answer. ``line``: the
normalised request, for requests that differ in dirt alone; the receipt is told anew for each original (opened.py). Redis: the
same, shared by processes. At last the line itself, once for all who ask at that moment.

Both keys hold the tenant: nobody learns from a hit what another tenant asked for. They hold every field of the request and
every version that shapes the answer, so nothing is ever invalidated; what is out of date is no longer asked for and goes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from . import codec
from .cache_redis import Shared
from .core import Prepared, Request
from .flight import Flights
from .frequent import Frequent
from .metrics import Metrics

FAILED: Final = ("rewriter_failed", "semantic_failed")
"""Notes that begin so mark a fallback: the next request deserves the real thing."""
Make = Callable[[], Awaitable[Prepared]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A result for the normalised request, and whether it lay in a cache."""

    prepared: Prepared
    hit: bool


class PromptCache:
    """``room`` bytes in process (half a level), kept ``ttl`` seconds; ``room`` 0 keeps nothing and still joins equal work."""

    def __init__(
        self,
        *,
        room: int,
        ttl: float,
        metrics: Metrics,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._levels = (
            {name: Frequent(room=room // 2, ttl=ttl, clock=clock) for name in ("raw", "line")} if room else {}
        )
        self._flights: Flights[Found] = Flights()
        self._shared, self._metrics = shared, metrics
        self._watch()

    @property
    def enabled(self) -> bool:
        """Is anything kept at all?"""
        return bool(self._levels) or self._shared is not None

    def raw(self, key: bytes) -> bytes | None:
        """The bytes of the whole answer to the very same request."""
        return self._ask("raw", key)

    def keep_raw(self, key: bytes, answer: bytes) -> None:
        """Remember the bytes of an answer. Only for answers that ``cacheable`` allows."""
        if self._levels:
            self._levels["raw"].offer(key, answer)

    async def prepared(self, key: bytes, make: Make) -> Found:
        """The result for the normalised request: found, or made by ``make``. Raises what ``make`` raises."""
        if known := self._decode(key, self._ask("line", key)):
            return Found(prepared=known, hit=True)
        return await self._flights.once(key, lambda: self._find(key, make))

    async def close(self) -> None:
        """Stop what is under way, and leave Redis."""
        await self._flights.close()
        if self._shared:
            await self._shared.close()

    async def _find(self, key: bytes, make: Make) -> Found:
        if known := self._decode(key, raw := await self._ask_shared(key)):
            self._keep(key, raw or b"")
            return Found(prepared=known, hit=True)
        prepared = await make()
        if not cacheable(prepared):
            self._metrics.uncacheable.inc()
        elif self.enabled:
            raw = codec.encode(key, prepared)
            self._keep(key, raw)
            if self._shared:
                self._shared.put(key, raw)
        return Found(prepared=prepared, hit=False)

    def _ask(self, level: str, key: bytes) -> bytes | None:
        if not self._levels:
            return None
        value = self._levels[level].get(key)
        (self._metrics.misses if value is None else self._metrics.hits)[level].inc()
        return value

    async def _ask_shared(self, key: bytes) -> bytes | None:
        if self._shared is None:
            return None
        value = await self._shared.get(key)
        (self._metrics.misses if value is None else self._metrics.hits)["redis"].inc()
        return value

    def _decode(self, key: bytes, raw: bytes | None) -> Prepared | None:
        if raw is None:
            return None
        known = codec.decode(key, raw)
        if known is None:
            self._metrics.redis_troubles["damaged"].inc()
        return known

    def _keep(self, key: bytes, raw: bytes) -> None:
        if self._levels:
            self._levels["line"].offer(key, raw)

    def _watch(self) -> None:
        """Let Prometheus read what the levels keep count of anyway."""
        read, levels = self._metrics.read, self._levels
        read("cache_bytes", "Bytes held.", lambda: {n: s.size for n, s in levels.items()}, counts=False)
        read("cache_entries", "Entries held.", lambda: {n: len(s) for n, s in levels.items()}, counts=False)
        read("cache_evicted", "Made room for others.", lambda: {n: s.evicted for n, s in levels.items()}, counts=True)
        read("cache_refused", "Newcomers not let in.", lambda: {n: s.refused for n, s in levels.items()}, counts=True)
        read("cache_joined", "Found theirs under way.", lambda: {"line": self._flights.joined}, counts=True)


def cacheable(prepared: Prepared) -> bool:
    """Is this what the line always makes of the request? A fallback is not."""
    return not any(note.startswith(FAILED) for note in prepared.receipt.notes)


def raw_key(*, tenant: str, tier: str, versions: tuple[str, ...], message: bytes) -> bytes:
    """The key of the very bytes of a request, 16 bytes."""
    return _digest(_named(tenant, tier, versions), message)


@lru_cache(maxsize=1_024)
def _named(tenant: str, tier: str, versions: tuple[str, ...]) -> bytes:
    """The same for all requests of a tenant until something changes."""
    return repr((tenant, tier, versions)).encode()


def line_key(*, tenant: str, versions: tuple[str, ...], request: Request) -> bytes:
    """The key of a normalised request with all its options, 16 bytes. ``versions``: of line, tokenizer, rewriter, configuration."""
    return _digest(repr((tenant, versions)).encode(), repr(request).encode("utf-8", "surrogatepass"))


def _digest(*parts: bytes) -> bytes:
    state = blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()
