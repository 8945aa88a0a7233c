"""Who steps next. Pure Python, no torch, no threads, no clock: the runner holds the lock and says how long a step took.

Between any two steps, in this order: whoever is leaving (`Scheduler.hasten`), the highest priority that has work
(`Priorities`), in it the tenant that is owed most (`Shares`), of its jobs the one with the lowest rank (`Entry.rank`). A job
that has begun may have to wait for another's steps; its state stays in memory, and `Limits.begun` bounds how many do.

Where jobs may share a step (`Company`), others come along with the one whose turn it is, and while there is room in its
company a job that waits begins, whoever's it is: everyone's device time counts for its own tenant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Generic

from generator_service.entries import Bytes, Company, Entry, Job, Limits, QueueFullError
from generator_service.priorities import Priorities
from generator_service.shares import Shares

__all__ = ["Bytes", "Company", "Limits", "QueueFullError", "Scheduler"]
LONGEST_WAIT = 3600.0


class Scheduler(Generic[Job]):
    """``capacity`` bounds the jobs that wait; those that have begun do not count."""

    def __init__(self, capacity: int, limits: Limits | None = None) -> None:
        if capacity < 1:
            raise ValueError("a queue holds at least one job")
        self._capacity = capacity
        self._limits = limits or Limits()
        self._entries: dict[Job, Entry[Job]] = {}
        self._shares: defaultdict[int, Shares] = defaultdict(Shares)
        self._priorities = Priorities(self._limits.floor)
        self._expert = ""
        self._grouped = 0.0
        self._numbers = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return sum(not entry.begun for entry in self._entries.values())

    @property
    def begun(self) -> int:
        """Jobs whose state is in memory."""
        return len(self._entries) - len(self)

    @property
    def full(self) -> bool:
        return len(self._waiting()) >= self._capacity

    def full_for(self, tenant: str) -> bool:
        """Whether a new job of ``tenant`` should be refused: the queue is full, or is this tenant's only to a half. What was
        accepted once and is taken up again need not ask; `add` minds only the capacity."""
        waiting = self._waiting()
        free, own = self._capacity - len(waiting), sum(entry.tenant == tenant for entry in waiting)
        return free <= 0 or (self._limits.leave_room and own > free)

    def add(
        self,
        tenant: str,
        job: Job,
        *,
        now: float = 0.0,
        priority: int = 0,
        predicted: float = 0.0,
        expert: str = "",
        company: Company | None = None,
        memory: Bytes | None = None,
        promised: bool = False,
    ) -> None:
        """Puts ``job`` in line. ``predicted`` is its whole device time in seconds. ``promised``: it takes its place, and others
        wait behind it, but it does not begin before `fulfil`; `end` gives the place back. Raises `QueueFullError`."""
        if self.full:
            raise QueueFullError(self.retry_after())
        self._numbers += 1
        self._entries[job] = Entry(
            job=job,
            tenant=tenant,
            number=self._numbers,
            arrived=now,
            priority=priority,
            predicted=predicted,
            expert=expert,
            company=company,
            memory=memory,
            promised=promised,
        )
        self._shares[priority].enter(tenant)

    def fulfil(self, job: Job, *, now: float = 0.0) -> bool:
        """The promised ``job`` may begin; False when it has no place here. Its rank is that of one who comes now: it does not
        take the turn of an equal that was ready before it."""
        entry = self._entries.get(job)
        if entry is None:
            return False
        self._numbers += 1
        entry.promised, entry.arrived, entry.number = False, now, self._numbers
        return True

    def next(self) -> Job | None:
        """The job whose turn it is, or None when there is none. It counts as begun from here on."""
        leaving = next((entry.job for entry in self._entries.values() if entry.leaving), None)
        if leaving is not None:
            return leaving
        ready = self._ready()
        if not ready:
            return None
        level = self._priorities.pick({entry.priority for entry in ready})
        same, shares = [entry for entry in ready if entry.priority == level], self._shares[level]
        chosen = min(same, key=lambda entry: (shares.tag(entry.tenant), entry.rank(self._limits.patience)))
        chosen = self._grouping(chosen, same)
        if chosen.begun and (joining := self._joining(chosen)) is not None:
            joining.joined = True
            chosen = joining
        chosen.begun = True
        return chosen.job

    def mates(self, job: Job) -> list[Job]:
        """Those that have begun and whose next step may be made together with ``job``'s, which comes first: the tenant that is
        owed most, then the lowest rank."""
        entry = self._entries[job]
        shares = self._shares[entry.priority]
        fitting = [
            each for each in self._entries.values() if each.begun and each is not entry and each.goes_with(entry)
        ]
        fitting.sort(key=lambda each: (shares.tag(each.tenant), each.rank(self._limits.patience)))
        company = [entry]
        for each in fitting:
            if _fit([*company, each]):
                company.append(each)
        return [each.job for each in company]

    def part(self, job: Job) -> None:
        """From now on ``job`` makes its steps by itself; nothing when it is not here."""
        if job in self._entries:
            self._entries[job].apart = True

    def charge(
        self, job: Job, seconds: float, *, expert: str = "", company: Company | None = None, turn: float = 0.0
    ) -> None:
        """A step of ``job`` took ``seconds`` of device time; the next one needs ``expert``, and may be made in ``company``. Where
        it was a part of a longer ``turn``, that is what a priority must be owed before it gets one."""
        entry = self._entries[job]
        levels = {each.priority for each in self._entries.values() if not each.promised}
        self._priorities.charge(entry.priority, seconds, levels, turn=turn)
        self._shares[entry.priority].charge(entry.tenant, seconds)
        self._grouped += seconds
        self._expert = entry.expert or self._expert
        entry.used += seconds
        entry.expert = expert
        entry.company = company

    def end(self, job: Job) -> None:
        """``job`` needs no further step; nothing when it is not here."""
        entry = self._entries.pop(job, None)
        if entry is None:
            return
        rest = self._entries.values()
        if not any((each.tenant, each.priority) == (entry.tenant, entry.priority) for each in rest):
            self._shares[entry.priority].leave(entry.tenant)

    def withdraw(self, tenant: str, job: Job) -> bool:
        """Takes ``job`` out of its tenant's line; False when it does not wait there any more."""
        entry = self._entries.get(job)
        if entry is None or entry.begun or entry.tenant != tenant:
            return False
        self.end(job)
        return True

    def hasten(self, job: Job) -> None:
        """``job`` was cancelled: the next turn is its own, whoever has begun, so that it can be let go; it is not to make a
        step of it. Nothing when it is not here."""
        entry = self._entries.get(job)
        if entry is not None:
            entry.leaving = True

    def isolate(self, job: Job) -> None:
        """From now on ``job`` steps only while no other has begun. None begins until it ends, so its turn comes."""
        self._entries[job].alone = True

    def retry_after(self) -> float:
        """Seconds until a job that waits is expected to begin: the first end among those that have begun, which share the
        device. At least 1, at most an hour."""
        left = [entry.remaining for entry in self._entries.values() if entry.begun]
        return min(LONGEST_WAIT, max(1.0, min(left, default=0.0) * len(left)))

    def forecast(self, tenant: str, *, now: float, priority: int, predicted: float) -> float:
        """Seconds of device time until a job that came now would end, if nobody came after it.

        Everything of a higher priority goes first, and of the tenant's own what ranks lower; meanwhile each other tenant
        of the priority gets at most as much as this one (generalised processor sharing, Parekh and Gallager 1993).
        """
        rank = (now + self._limits.patience * predicted, self._numbers + 1)
        higher, own, others = 0.0, predicted, defaultdict[str, float](float)
        for entry in self._entries.values():
            if entry.priority > priority:
                higher += entry.remaining
            elif entry.priority == priority and entry.tenant != tenant:
                others[entry.tenant] += entry.remaining
            elif entry.priority == priority and entry.rank(self._limits.patience) < rank:
                own += entry.remaining
        return higher + own + sum(min(own, theirs) for theirs in others.values())

    def _waiting(self) -> list[Entry[Job]]:
        """Those that have a place in the queue. Where none has begun, the first promised one takes none: it begins once it is
        fulfilled."""
        waiting = [entry for entry in self._entries.values() if not entry.begun]
        first = next((entry for entry in waiting if entry.promised), None)
        return [entry for entry in waiting if entry is not first] if len(waiting) == len(self._entries) else waiting

    def _ready(self) -> list[Entry[Job]]:
        """The jobs that may step now."""
        isolated = [entry for entry in self._entries.values() if entry.alone]
        if isolated:
            together = [entry for entry in self._entries.values() if entry.begun and not entry.alone]
            return together or [min(isolated, key=lambda entry: entry.number)]
        begun = Counter(entry.priority for entry in self._entries.values() if entry.begun and not entry.joined)
        inside = {(entry.priority, entry.tenant) for entry in self._entries.values() if entry.begun}
        ready = [entry for entry in self._entries.values() if entry.begun]
        waiting = [entry for entry in self._entries.values() if not (entry.begun or entry.promised)]
        waiting = [entry for entry in waiting if self._may_begin(entry, begun, inside)]
        kept = [entry.memory for entry in ready if entry.memory]
        for level in sorted({entry.priority for entry in waiting}, reverse=True):
            same = [entry for entry in waiting if entry.priority == level]
            # Nobody overtakes who waits for memory: it would never be free.
            if not _holds(kept, min(same, key=self._order)):
                break
            ready += [entry for entry in same if _holds(kept, entry)]
        return ready

    def _order(self, entry: Entry[Job]) -> tuple[float, tuple[float, int]]:
        """The tenant that is owed most, of its jobs the lowest rank."""
        return self._shares[entry.priority].tag(entry.tenant), entry.rank(self._limits.patience)

    def _joining(self, chosen: Entry[Job]) -> Entry[Job] | None:
        """A job that waits and would fill ``chosen``'s company. All that began like this fit one company together, so they
        bound what is in memory; and none begins while one needs all of it."""
        if chosen.company is None or any(entry.alone for entry in self._entries.values()):
            return None
        there = [entry for entry in self._entries.values() if entry.begun and entry.priority == chosen.priority]
        together = [entry for entry in there if entry is chosen or entry.goes_with(chosen)]
        joined = [entry for entry in there if entry.joined]
        shares = self._shares[chosen.priority]
        waiting = (
            entry for entry in self._entries.values() if not (entry.begun or entry.promised) and entry.goes_with(chosen)
        )
        kept = [entry.memory for entry in self._entries.values() if entry.begun and entry.memory]
        fitting = [
            entry for entry in waiting if _fit([*together, entry]) and _fit([*joined, entry]) and _holds(kept, entry)
        ]
        return min(fitting, key=lambda each: (shares.tag(each.tenant), each.rank(self._limits.patience)), default=None)

    def _may_begin(self, entry: Entry[Job], begun: Counter[int], inside: set[tuple[int, str]]) -> bool:
        """The last place is for a tenant that has none: nobody's long jobs keep the others out. Priorities have places of
        their own, so that a draft finds one beside long jobs."""
        places = self._limits.begun - begun[entry.priority]
        return places > ((entry.priority, entry.tenant) in inside)

    def _grouping(self, chosen: Entry[Job], same: list[Entry[Job]]) -> Entry[Job]:
        """Somebody else of the same priority who needs the expert that is on the device, for a while."""
        if not self._limits.group or chosen.expert in ("", self._expert):
            return chosen
        fitting = [entry for entry in same if entry.expert == self._expert]
        if fitting and self._grouped < self._limits.group:
            return min(fitting, key=lambda entry: entry.rank(self._limits.patience))
        self._grouped = 0.0
        return chosen


def _fit(entries: list[Entry[Job]]) -> bool:
    """Whether ``entries`` may be one company, by the strictest bounds of any."""
    found = [entry.company for entry in entries if entry.company is not None]
    tokens = sum(company.tokens for company in found)
    return all(len(entries) <= company.most and tokens <= company.budget for company in found)


def _holds(kept: list[Bytes], entry: Entry[Job]) -> bool:
    """Whether the device has room for ``entry``, which has not begun, beside ``kept`` of those that have: all keep what they hold, one
    makes its step."""
    if entry.memory is None or not kept:
        return True
    there = [*kept, entry.memory]
    needed = sum(each.held for each in there) + max(each.peak - each.held for each in there)
    return needed <= min(each.room for each in there)
