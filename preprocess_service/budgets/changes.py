"""Budgets and raises as the entries of the ledger say that they were set, held against the tables that decisions read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, select

from .core import Kind
from .schema import budgets, raises

FIELDS = ("window", "tokens", "device_ms", "expires_ms", "note")


class Changes:
    """Of one tenant, entry by entry; ``count`` is how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._unread: list[int] = []
        self._budget: Any = None
        self._raises: Counter[tuple[Any, ...]] = Counter()

    def add(self, row: Row[Any]) -> None:
        """An entry of a budget or a raise. Taking a budget away takes the raises with it."""
        self.count += 1
        try:
            said = json.loads(row.details)
            if row.kind == Kind.RAISE:
                self._raises[tuple(said["raise"][name] for name in FIELDS)] += 1
                return
            self._budget = said["budget"]
        except (ValueError, LookupError, TypeError):
            self._unread.append(row.seq)
            return
        if self._budget is None:
            self._raises.clear()

    def compared(self, conn: Connection, tenant: str) -> Iterator[str]:
        """What is otherwise in the tables, in words."""
        for seq in self._unread:
            yield f"the change of entry {seq} cannot be read"
        kept = conn.execute(select(budgets.c.budget).where(budgets.c.tenant == tenant)).scalar_one_or_none()
        if (json.loads(kept) if kept else None) != self._budget:
            yield "the budget is not the one that was set last"
        asked = select(*(raises.c[name] for name in FIELDS)).where(raises.c.tenant == tenant)
        if Counter(tuple(row) for row in conn.execute(asked)) != self._raises:
            yield "the raises are not those that were given"
