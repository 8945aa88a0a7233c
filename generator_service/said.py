"""What the leader of a group says to its followers, and what both know by number."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import timedelta
from typing import Any

from torch._C._distributed_c10d import Store

from generator_service.text import PromptStates, StatesKey

# Texts that a follower keeps the states of, 4 MiB each on A14B.
TEXTS = 16
NEVER = timedelta(days=365)
Header = dict[str, Any]


class Line:
    """One thing after another, over a key-value store; every one of ``followers`` hears all of it, however late. Nothing is polled."""

    def __init__(self, store: Store, followers: int) -> None:
        # A connection of its own: a store is for one caller at a time, and a follower waits here for days while torch's own threads ask
        # theirs. Nor are their waits to be as long.
        clone: Store = store.clone()  # type: ignore[attr-defined]  # torch has no stub of it
        self._store, self._followers, self._number = clone, followers, 0
        self._store.set_timeout(NEVER)

    def say(self, header: Header) -> None:
        """Waits for nobody."""
        self._store.set(f"said/{self._number}", json.dumps(header))
        self._number += 1

    def hear(self) -> Header:
        """The next one; whoever hears it last removes it. Raises ``RuntimeError`` when the leader, and the store with it, is gone."""
        said, heard = f"said/{self._number}", f"heard/{self._number}"
        header: Header = json.loads(self._store.get(said))
        if self._store.add(heard, 1) == self._followers:
            self._store.delete_key(said)
            self._store.delete_key(heard)
        self._number += 1
        return header


class Texts:
    """The texts that followers know, by number: the same on both sides, because both forget by the same rule."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[StatesKey, int] = OrderedDict()
        self._next = 0

    def number(self, states: PromptStates) -> tuple[int, bool, int | None]:
        """Its number, whether it is new, and the number that is forgotten for it."""
        if states.key in self._numbers:
            self._numbers.move_to_end(states.key)
            return self._numbers[states.key], False, None
        self._next += 1
        self._numbers[states.key] = self._next
        gone = self._numbers.popitem(last=False)[1] if len(self._numbers) > TEXTS else None
        return self._next, True, gone
