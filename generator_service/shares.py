"""Fair shares of device time between tenants: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).

Every tenant has a tag, the device time that it has used on a clock that all share. Who wants time and has the lowest tag
steps next. A tenant that comes back from a rest starts at the others' tag: rest is not saved up, and neither is a debt
forgotten.
"""

from __future__ import annotations


class Shares:
    """The tags of the tenants of one priority, in seconds of device time."""

    def __init__(self) -> None:
        self._tags: dict[str, float] = {}
        self._wanting: set[str] = set()
        self._floor = 0.0

    def enter(self, tenant: str) -> None:
        """``tenant`` wants time from now on."""
        if tenant not in self._wanting:
            self._tags[tenant] = max(self._tags.get(tenant, 0.0), self._virtual())
            self._wanting.add(tenant)

    def leave(self, tenant: str) -> None:
        """``tenant`` wants no more. Its tag is kept only while it is ahead of the others: it used more than its share."""
        self._floor = self._virtual()
        self._wanting.discard(tenant)
        if not self._wanting:
            # Nobody waits, so nobody was wronged: all start alike.
            self._tags.clear()
            self._floor = 0.0
            return
        self._floor = max(self._floor, self._virtual())
        idle = [name for name, tag in self._tags.items() if name not in self._wanting and tag <= self._floor]
        for name in idle:
            del self._tags[name]

    def charge(self, tenant: str, seconds: float) -> None:
        """``tenant`` used ``seconds`` of device time."""
        self._tags[tenant] = self.tag(tenant) + seconds

    def tag(self, tenant: str) -> float:
        """Where ``tenant`` stands; the lower, the more it is owed."""
        return self._tags.get(tenant, self._virtual())

    def _virtual(self) -> float:
        """The clock that all share: where the one who is owed most stands."""
        return max(self._floor, min((self._tags[name] for name in self._wanting), default=self._floor))
