"""Who steps next. Pure Python, no torch, no threads: the runner holds the lock.

A bounded queue, first in first out within a tenant, round-robin between tenants. Once begun, a job keeps its turn until
it ends.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Job = TypeVar("Job")


class QueueFullError(Exception):
    """As many jobs wait as may wait."""


class Scheduler(Generic[Job]):
    """``capacity`` bounds the jobs that wait; the one whose turn it is does not count."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a queue holds at least one job")
        self._capacity = capacity
        self._waiting: dict[str, deque[Job]] = {}
        self._turns: deque[str] = deque()
        self._current: Job | None = None

    def __len__(self) -> int:
        """Jobs that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def full(self) -> bool:
        return len(self) >= self._capacity

    def add(self, tenant: str, job: Job) -> None:
        """Puts ``job`` at the end of its tenant's line. Raises `QueueFullError`."""
        if self.full:
            raise QueueFullError
        if tenant not in self._waiting:
            self._waiting[tenant] = deque()
            self._turns.append(tenant)
        self._waiting[tenant].append(job)

    def next(self) -> Job | None:
        """The job that steps now, or None when there is none."""
        if self._current is None and self._turns:
            tenant = self._turns.popleft()
            line = self._waiting[tenant]
            self._current = line.popleft()
            if line:
                self._turns.append(tenant)
            else:
                del self._waiting[tenant]
        return self._current

    def end(self, job: Job) -> None:
        """The job whose turn it was needs no further step."""
        if self._current is job:
            self._current = None

    def withdraw(self, tenant: str, job: Job) -> bool:
        """Takes ``job`` out of its tenant's line; False when it does not wait there any more."""
        line = self._waiting.get(tenant, deque())
        if job not in line:
            return False
        line.remove(job)
        if not line:
            del self._waiting[tenant]
            self._turns.remove(tenant)
        return True
