"""One device and the real scheduler in simulated time, for the schedule's benchmark and its property tests."""

from __future__ import annotations

import dataclasses

from generator_service.scheduler import Limits, Scheduler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrival:
    """A job that comes at ``at`` and needs ``steps`` steps of ``step`` seconds each; ``switch`` of them on the first expert."""

    at: float
    tenant: str
    steps: int = 1
    step: float = 1.0
    priority: int = 0
    switch: int = 0

    @property
    def seconds(self) -> float:
        return self.steps * self.step

    def expert(self, done: int) -> str:
        return "" if not self.switch else "high" if done < self.switch else "low"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """When a job began and when it ended."""

    arrival: Arrival
    began: float
    ended: float

    @property
    def wait(self) -> float:
        """Seconds from its arrival to its end that were not its own steps."""
        return self.ended - self.arrival.at - self.arrival.seconds


@dataclasses.dataclass(kw_only=True)
class Trace:
    """What happened: ``idle`` seconds while work was there must be none; ``most_begun`` jobs were in memory at once."""

    served: list[Served] = dataclasses.field(default_factory=list)
    order: list[int] = dataclasses.field(default_factory=list)
    idle: float = 0.0
    most_begun: int = 0
    switches: int = 0


def simulate(arrivals: list[Arrival], limits: Limits | None = None, capacity: int = 10_000) -> Trace:
    """Every arrival to its end. Jobs are their positions in ``arrivals``."""
    scheduler: Scheduler[int] = Scheduler(capacity, limits)
    waiting = sorted(range(len(arrivals)), key=lambda job: (arrivals[job].at, job), reverse=True)
    done, began = [0] * len(arrivals), [-1.0] * len(arrivals)
    trace, now, expert = Trace(), 0.0, ""
    while True:
        while waiting and arrivals[waiting[-1]].at <= now:
            job = waiting.pop()
            come = arrivals[job]
            scheduler.add(
                come.tenant, job, now=come.at, priority=come.priority, predicted=come.seconds, expert=come.expert(0)
            )
        job_now = scheduler.next()
        if job_now is None:
            if not waiting:
                return trace
            trace.idle += len(scheduler) * (arrivals[waiting[-1]].at - now)
            now = arrivals[waiting[-1]].at
            continue
        come = arrivals[job_now]
        trace.order.append(job_now)
        trace.most_begun = max(trace.most_begun, scheduler.begun)
        trace.switches += come.expert(done[job_now]) not in ("", expert)
        expert = come.expert(done[job_now]) or expert
        if began[job_now] < 0:
            began[job_now] = now
        now += come.step
        done[job_now] += 1
        scheduler.charge(job_now, come.step, expert=come.expert(done[job_now]))
        if done[job_now] == come.steps:
            scheduler.end(job_now)
            trace.served.append(Served(arrival=come, began=began[job_now], ended=now))
