"""What the scheduler knows of one job, and how many of them may be where."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

Job = TypeVar("Job")


class QueueFullError(Exception):
    """As many jobs wait as may wait. ``retry_after``: seconds until one of them is expected to begin."""

    def __init__(self, retry_after: float = 5.0) -> None:
        super().__init__(f"the queue is full; a place is expected in {retry_after:.0f} s")
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """``begun`` jobs of one priority may be in memory at a time: each holds its latents between its steps.

    ``patience``: a job is overtaken by shorter ones of its tenant that come at most ``patience`` times its own predicted
    time after it, and by no others. ``floor``: see `Priorities`. ``group``: seconds of device time for which turns may go
    out of order to those who need the expert that is on the device; 0 where both fit. ``leave_room``: one tenant takes no
    more places in the queue than it leaves free.
    """

    begun: int = 4
    patience: float = 4.0
    floor: float = 0.1
    group: float = 0.0
    leave_room: bool = False

    def __post_init__(self) -> None:
        if self.begun < 1:
            raise ValueError("at least one job must be able to begin")
        if self.patience < 0 or self.group < 0:
            raise ValueError("patience and group are times, not less than 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Company:
    """Whose next step may be made together with others': those of the same ``key`` (tier, shape, expert), at most ``most`` of
    them, with at most ``budget`` latent tokens together. ``tokens`` are a job's own, of all its passes.
    """

    key: str
    tokens: int
    budget: int
    most: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bytes:
    """What a job takes of the device's memory: ``held`` from its first step to its last, ``peak`` while it makes its most demanding
    one, of ``room`` that there is beside the weights.
    """

    held: int
    peak: int
    room: int


@dataclasses.dataclass(kw_only=True, eq=False)
class Entry(Generic[Job]):
    """One job. ``predicted`` and ``used`` are seconds of device time, ``arrived`` is on the caller's clock.

    ``expert`` is what its next step needs ("" when that does not matter); ``alone`` jobs share the memory with nobody, and
    ``apart`` ones no step; ``leaving`` ones only want to be let go. ``joined``: it began to keep others company, and takes no
    place (`Limits.begun`). ``promised``: its place in the queue is kept, it may not begin yet.
    """

    job: Job
    tenant: str
    number: int
    arrived: float = 0.0
    priority: int = 0
    predicted: float = 0.0
    used: float = 0.0
    begun: bool = False
    alone: bool = False
    apart: bool = False
    joined: bool = False
    leaving: bool = False
    promised: bool = False
    expert: str = ""
    company: Company | None = None
    memory: Bytes | None = None

    def goes_with(self, other: Entry[Job]) -> bool:
        """Whether the next steps of both may be one."""
        if self.company is None or other.company is None or self.apart or other.apart or self.alone or other.alone:
            return False
        return (self.priority, self.company.key) == (other.priority, other.company.key)

    @property
    def remaining(self) -> float:
        return max(0.0, self.predicted - self.used)

    def rank(self, patience: float) -> tuple[float, int]:
        """Shortest first with ageing, the lowest steps first.

        Waiting and size are weighed against each other once and for all: while it waits a job's rank does not change, so
        there is a moment after which nobody who comes later passes it.
        """
        return self.arrived + patience * self.remaining, self.number
