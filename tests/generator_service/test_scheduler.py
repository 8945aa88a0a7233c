"""Who steps next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator_service.scheduler import QueueFullError, Scheduler


def drain(scheduler: Scheduler[str]) -> list[str]:
    order = []
    while (job := scheduler.next()) is not None:
        order.append(job)
        scheduler.end(job)
    return order


def test_tenants_take_turns_and_each_is_served_in_its_own_order() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for tenant, job in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        scheduler.add(tenant, job)
    assert drain(scheduler) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_job_keeps_its_turn_until_it_ends() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    scheduler.add("a", "a1")
    assert scheduler.next() == "a1"
    scheduler.add("b", "b1")
    assert scheduler.next() == "a1"
    scheduler.end("a1")
    assert scheduler.next() == "b1"


def test_the_queue_is_bounded_and_the_one_that_runs_does_not_count() -> None:
    scheduler: Scheduler[str] = Scheduler(1)
    scheduler.add("a", "a1")
    with pytest.raises(QueueFullError):
        scheduler.add("b", "b1")
    scheduler.next()
    scheduler.add("b", "b1")
    assert scheduler.full


def test_what_waits_can_be_withdrawn_and_what_runs_cannot() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for tenant, job in (("a", "a1"), ("b", "b1"), ("b", "b2")):
        scheduler.add(tenant, job)
    scheduler.next()
    assert not scheduler.withdraw("a", "a1")
    assert scheduler.withdraw("b", "b1")
    assert not scheduler.withdraw("b", "b1")
    assert drain(scheduler) == ["a1", "b2"]


def test_a_queue_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Scheduler(0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_no_job_is_lost_or_served_twice(jobs: list[tuple[str, bool]]) -> None:
    scheduler: Scheduler[int] = Scheduler(100)
    kept = set(range(len(jobs)))
    for number, (tenant, withdrawn) in enumerate(jobs):
        scheduler.add(tenant, number)
        if withdrawn:
            assert scheduler.withdraw(tenant, number)
            kept.discard(number)
    served = []
    while (job := scheduler.next()) is not None:
        served.append(job)
        scheduler.end(job)
    assert sorted(served) == sorted(kept)
    for tenant in "abc":
        own = [number for number in served if jobs[number][0] == tenant]
        assert own == sorted(own)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=40))
def test_while_two_tenants_wait_neither_is_served_twice_in_a_row(tenants: list[str]) -> None:
    scheduler: Scheduler[tuple[str, int]] = Scheduler(100)
    for number, tenant in enumerate(tenants):
        scheduler.add(tenant, (tenant, number))
    left, last = Counter(tenants), None
    while (job := scheduler.next()) is not None:
        others = sum(left.values()) - left[job[0]]
        assert job[0] != last or not others
        left[job[0]] -= 1
        last = job[0]
        scheduler.end(job)
