"""A bounded store of bytes that keeps what is asked for often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import TLRUCache

from .sketch import Sketch

OVERHEAD: Final = 400
"""Bytes that Python spends on an entry besides its key and value."""
TYPICAL: Final = 4_096
"""Bytes of an entry as the sketch is sized for; a wrong guess costs accuracy, never room."""
LARGEST: Final = 8
"""No entry takes more than one part in this many of the room: one giant must not push out a crowd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A value, when it ends (by the store's clock), and the bytes that it takes."""

    value: bytes
    until: float
    size: int


class Frequent:
    """At most ``room`` bytes, each value for at most ``ttl`` seconds. Not safe across threads: it lives on the event loop.

    When it is full a newcomer is let in only if it was asked for more often of late than what would have to go, so prompts
    that come once never push out those that come all the time (TinyLFU).
    """

    def __init__(self, *, room: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._room, self._ttl, self._clock = room, ttl, clock
        self._sketch = Sketch(max(64, room // TYPICAL))
        self._entries: TLRUCache[bytes, Entry] = TLRUCache(
            room, ttu=lambda _, entry, __: entry.until, timer=clock, getsizeof=lambda entry: entry.size
        )
        self.evicted = 0
        """Entries that made room for others."""
        self.refused = 0
        """Newcomers that were not let in."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes that the entries take."""
        return int(self._entries.currsize)

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, a digest of at least 16 bytes; every question counts towards its admission."""
        self._sketch.mention(key)
        entry = self._entries.get(key)
        return entry.value if entry else None

    def offer(self, key: bytes, value: bytes) -> bool:
        """Keep ``value`` if it deserves its room; False when it was refused."""
        size = OVERHEAD + len(key) + len(value)
        if size * LARGEST > self._room or not self._make_room(key, size):
            self.refused += 1
            return False
        self._entries[key] = Entry(value=value, until=self._clock() + self._ttl, size=size)
        return True

    def _make_room(self, key: bytes, size: int) -> bool:
        """Let the least recently used go until ``size`` bytes are free; put them back where one is worth more than ``key``."""
        self._entries.expire()
        self._entries.pop(key, None)
        worth = self._sketch.count(key)
        gone: list[tuple[bytes, Entry]] = []
        while self._entries.currsize + size > self._room:
            gone.append(self._entries.popitem())
            if self._sketch.count(gone[-1][0]) >= worth:
                # They come back as the most recently used, so the next newcomer is weighed against another.
                for old, entry in gone:
                    self._entries[old] = entry
                return False
        self.evicted += len(gone)
        return True
