"""What was made once and is small enough to keep, the least recently used forgotten first. No torch here."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclasses.dataclass(kw_only=True)
class Counts:
    """Since the cache was made. ``made`` counts every value that had to be computed, ``reused`` every one that had not;
    ``evicted`` made room for others, and ``too_large`` were used once and never kept.
    """

    made: int = 0
    reused: int = 0
    evicted: int = 0
    too_large: int = 0


class ByteLRU(Generic[Key, Value]):
    """Values by key, at most ``limit`` bytes of them by ``size``. A limit of 0 keeps nothing, and everything still works.

    Nothing here locks: one thread, the one that steps, may read and write. Others may look at ``counts`` and ``bytes``.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit = limit
        self.bytes = 0
        self.counts = Counts()
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        """Whether ``key`` is kept. Looking is no use: it changes neither order nor counts."""
        return key in self._values

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of ``key``; what ``make`` returns where there is none. What ``make`` raises leaves no trace."""
        if key in self._values:
            self.counts.reused += 1
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        self.counts.made += 1
        self._keep(key, value)
        return value

    def clear(self) -> None:
        """Forgets every value; the counts go on."""
        self._values.clear()
        self.bytes = 0

    def _keep(self, key: Key, value: Value) -> None:
        size = self._size(value)
        if size > self.limit:
            self.counts.too_large += 1
            return
        while self.bytes + size > self.limit:
            self.bytes -= self._size(self._values.popitem(last=False)[1])
            self.counts.evicted += 1
        self._values[key] = value
        self.bytes += size
