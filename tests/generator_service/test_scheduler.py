"""Who steps next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated import Arrival, simulate
from generator_service.scheduler import Bytes, Company, Limits, QueueFullError, Scheduler

LENGTHS = st.sampled_from([0.25, 0.5, 1.0])


def arrivals(
    tenants: str = "abc", priorities: tuple[int, ...] = (0,), most: int = 30
) -> st.SearchStrategy[list[Arrival]]:
    one = st.builds(
        Arrival,
        at=st.integers(0, 40).map(float),
        tenant=st.sampled_from(tenants),
        steps=st.integers(1, 12),
        step=LENGTHS,
        priority=st.sampled_from(priorities),
    )
    return st.lists(one, max_size=most)


def drain(scheduler: Scheduler[str]) -> list[str]:
    order = []
    while (job := scheduler.next()) is not None:
        order.append(job)
        scheduler.charge(job, 1.0)
        scheduler.end(job)
    return order


def test_tenants_take_turns_and_each_is_served_in_its_own_order() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for tenant, job in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        scheduler.add(tenant, job)
    assert drain(scheduler) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_tenant_that_comes_later_gets_every_other_step() -> None:
    trace = simulate([Arrival(at=0, tenant="a", steps=6), Arrival(at=2, tenant="b", steps=3)])
    assert trace.order == [0, 0, 1, 0, 1, 0, 1, 0, 0]


def test_rest_is_not_saved_up() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    scheduler.add("a", "long")
    for _ in range(50):
        assert scheduler.next() == "long"
        scheduler.charge("long", 1.0)
    scheduler.add("b", "late")
    steps = []
    for _ in range(6):
        job = scheduler.next()
        assert job
        steps.append(job)
        scheduler.charge(job, 1.0)
    assert steps.count("late") == 3


def test_the_shorter_job_of_a_tenant_goes_first_and_begun_ones_come_back() -> None:
    trace = simulate([Arrival(at=0, tenant="a", steps=10), Arrival(at=1, tenant="a", steps=2)])
    assert trace.order == [0, 1, 1, *[0] * 9]


def test_equal_jobs_of_a_tenant_are_made_one_after_the_other() -> None:
    trace = simulate([Arrival(at=0, tenant="a", steps=3), Arrival(at=0, tenant="a", steps=3)])
    assert trace.order == [0, 0, 0, 1, 1, 1]


def test_a_draft_that_comes_during_a_long_job_begins_with_the_next_step() -> None:
    trace = simulate([Arrival(at=0, tenant="a", steps=50), Arrival(at=7.5, tenant="a", steps=3, step=0.1, priority=9)])
    assert trace.order[:12] == [0] * 8 + [1] * 3 + [0]


def test_a_draft_finds_a_place_when_long_jobs_have_taken_all_of_theirs() -> None:
    long = [Arrival(at=0, tenant=tenant, steps=30) for tenant in "abcd"]
    trace = simulate([*long, Arrival(at=10, tenant="e", priority=9)], Limits(begun=4))
    assert trace.order.index(4) == 10
    assert trace.most_begun == 5


def test_a_flood_of_drafts_leaves_the_floor_to_what_is_below() -> None:
    drafts = [Arrival(at=at, tenant="a", priority=9) for at in range(100)]
    trace = simulate([Arrival(at=0, tenant="b", steps=10), *drafts], Limits(floor=0.1))
    ended = next(each.ended for each in trace.served if each.arrival.tenant == "b")
    assert 90 <= ended <= 112
    strict = simulate([Arrival(at=0, tenant="b", steps=10), *drafts], Limits(floor=0.0))
    assert next(each.ended for each in strict.served if each.arrival.tenant == "b") == 110


def test_the_last_place_in_memory_is_for_a_tenant_that_has_none() -> None:
    scheduler: Scheduler[str] = Scheduler(20, Limits(begun=2, patience=4))
    scheduler.add("a", "a1", predicted=100.0)
    assert scheduler.next() == "a1"
    scheduler.add("a", "a2", now=1.0, predicted=1.0)
    assert scheduler.next() == "a1"
    scheduler.charge("a1", 5.0)
    scheduler.add("b", "b1", now=1.0, predicted=1.0)
    assert scheduler.next() == "b1"
    assert scheduler.begun == 2


def test_jobs_that_need_the_expert_on_the_device_are_grouped_for_a_while() -> None:
    pair = [Arrival(at=0, tenant=tenant, steps=20, switch=10) for tenant in "ab"]
    late = [Arrival(at=20, tenant=tenant, steps=20, switch=10) for tenant in "cd"]
    loose, grouped = simulate(pair + late), simulate(pair + late, Limits(group=8.0))
    assert grouped.switches < loose.switches / 2
    assert {each.arrival.tenant for each in grouped.served} == set("abcd")


def test_a_job_in_isolation_waits_for_what_has_begun_and_then_nothing_begins_beside_it() -> None:
    scheduler: Scheduler[str] = Scheduler(20)
    for tenant, job in (("a", "big"), ("b", "b1"), ("c", "c1")):
        scheduler.add(tenant, job)
    assert {scheduler.next(), (scheduler.charge("big", 1.0), scheduler.next())[1]} == {"big", "b1"}
    scheduler.isolate("big")
    scheduler.charge("b1", 1.0)
    assert scheduler.next() == "b1"
    scheduler.end("b1")
    for _ in range(3):
        assert scheduler.next() == "big"
        scheduler.charge("big", 1.0)
    scheduler.end("big")
    assert scheduler.next() == "c1"


def test_two_jobs_in_isolation_go_one_after_the_other() -> None:
    scheduler: Scheduler[str] = Scheduler(20)
    for tenant in "ab":
        scheduler.add(tenant, tenant)
        scheduler.next()
        scheduler.charge(tenant, 1.0)
    for tenant in "ab":
        scheduler.isolate(tenant)
    assert [scheduler.next(), scheduler.next()] == ["a", "a"]
    scheduler.end("a")
    assert scheduler.next() == "b"


def test_the_queue_is_bounded_and_those_that_have_begun_do_not_count() -> None:
    scheduler: Scheduler[str] = Scheduler(1)
    scheduler.add("a", "a1", predicted=30.0)
    with pytest.raises(QueueFullError):
        scheduler.add("b", "b1")
    scheduler.next()
    scheduler.add("b", "b1")
    assert scheduler.full
    with pytest.raises(QueueFullError) as caught:
        scheduler.add("c", "c1")
    assert caught.value.retry_after == 30.0


def test_one_tenant_leaves_as_many_places_as_it_takes_where_room_is_to_be_left() -> None:
    scheduler: Scheduler[int] = Scheduler(9, Limits(leave_room=True))
    for job in range(5):
        scheduler.add("a", job)
    assert scheduler.full_for("a")
    assert not scheduler.full_for("b")
    scheduler.add("b", 5)
    assert not scheduler.full_for("b")


def test_what_waits_can_be_withdrawn_and_what_has_begun_cannot() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for tenant, job in (("a", "a1"), ("b", "b1"), ("b", "b2")):
        scheduler.add(tenant, job)
    scheduler.next()
    assert not scheduler.withdraw("a", "a1")
    assert scheduler.withdraw("b", "b1")
    assert not scheduler.withdraw("b", "b1")
    assert drain(scheduler) == ["a1", "b2"]


def begun(limits: Limits) -> Scheduler[str]:
    """One of low priority has made a step, and others have come: two of its own priority and, higher up, as many as may
    begin."""
    scheduler: Scheduler[str] = Scheduler(10, limits)
    scheduler.add("a", "low", predicted=100.0)
    assert scheduler.next() == "low"
    scheduler.charge("low", 1.0)
    for tenant, priority in (("b", 0), ("c", 0), ("b", 9), ("c", 9), ("d", 9), ("e", 9)):
        scheduler.add(tenant, f"{tenant}{priority}", priority=priority, predicted=40.0)
        job = scheduler.next()
        assert job
        scheduler.charge(job, 0.5)
    return scheduler


@pytest.mark.parametrize("limits", [Limits(), Limits(floor=0.0), Limits(group=8.0)])
@pytest.mark.parametrize("isolated", ["", "low", "c9"])
def test_what_is_cancelled_has_the_next_turn_whoever_has_begun(limits: Limits, isolated: str) -> None:
    scheduler = begun(limits)
    if isolated:
        scheduler.isolate(isolated)
    scheduler.hasten("low")
    assert scheduler.next() == "low"
    scheduler.end("low")
    assert scheduler.next() not in ("low", None)


def test_two_that_are_cancelled_leave_one_after_the_other_and_who_is_gone_is_nobody() -> None:
    scheduler = begun(Limits())
    for job in ("b9", "low", "gone"):
        scheduler.hasten(job)
    left = [scheduler.next(), (scheduler.end("low"), scheduler.next())[1]]
    assert left == ["low", "b9"]


def test_a_forecast_is_when_the_job_really_ends_if_nobody_comes_after_it() -> None:
    crowd = [
        Arrival(at=0, tenant="a", steps=40, step=0.5),
        Arrival(at=0, tenant="b", steps=8, step=0.5),
        Arrival(at=0, tenant="c", steps=4, step=0.5, priority=5),
    ]
    scheduler: Scheduler[int] = Scheduler(10)
    for job, come in enumerate(crowd):
        scheduler.add(come.tenant, job, priority=come.priority, predicted=come.seconds)
    forecast = scheduler.forecast("d", now=0.0, priority=0, predicted=6.0)
    trace = simulate([*crowd, Arrival(at=0, tenant="d", steps=12, step=0.5)], Limits(floor=0))
    ended = next(each.ended for each in trace.served if each.arrival.tenant == "d")
    assert forecast == 2.0 + 6.0 + 6.0 + 4.0
    assert abs(ended - forecast) <= 1.0


@pytest.mark.parametrize("build", [lambda: Scheduler(0), lambda: Limits(begun=0), lambda: Limits(patience=-1)])
def test_limits_that_cannot_work_are_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"at least|less than"):
        build()  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(arrivals(priorities=(0, 0, 5)), st.integers(1, 5), st.sampled_from([0.0, 3.0]))
def test_every_job_gets_all_of_its_steps_and_the_device_never_idles(
    jobs: list[Arrival], begun: int, group: float
) -> None:
    trace = simulate(jobs, Limits(begun=begun, group=group))
    assert len(trace.served) == len(jobs)
    assert all(trace.order.count(job) == come.steps for job, come in enumerate(jobs))
    assert trace.idle == 0
    assert trace.most_begun <= begun * len({come.priority for come in jobs})


@settings(max_examples=60, deadline=None)
@given(arrivals(), st.integers(1, 5))
def test_nobody_who_comes_after_a_jobs_patience_is_out_passes_it(jobs: list[Arrival], begun: int) -> None:
    limits = Limits(begun=begun, patience=2.0)
    trace = simulate(jobs, limits)
    for job, come in enumerate(jobs):
        first = trace.order.index(job)
        closed = come.at + limits.patience * come.seconds
        for other, late in enumerate(jobs):
            if late.tenant == come.tenant and late.at > closed:
                assert trace.order.index(other) > first


@settings(max_examples=60, deadline=None)
@given(arrivals(tenants="ab", most=24), st.integers(1, 6))
def test_a_tenant_with_one_job_waits_at_most_for_its_own_time_again_for_each_other_tenant(
    flood: list[Arrival], steps: int
) -> None:
    mine = Arrival(at=5.0, tenant="me", steps=steps, step=0.5)
    trace = simulate([*flood, mine])
    served = next(each for each in trace.served if each.arrival is mine)
    rivals = {come.tenant for come in flood}
    # The step under way, and a rounding of one longest step for each rival: start-time fair queueing's own bound.
    assert served.wait <= len(rivals) * (mine.seconds + 1.0) + 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 8), st.booleans())
def test_the_queue_never_holds_more_than_it_may_and_loses_nothing(
    jobs: list[tuple[str, bool]], capacity: int, leave_room: bool
) -> None:
    scheduler: Scheduler[int] = Scheduler(capacity, Limits(leave_room=leave_room))
    kept, served = set(), []
    for number, (tenant, step) in enumerate(jobs):
        assert scheduler.full_for(tenant) or not scheduler.full
        if scheduler.full:
            with pytest.raises(QueueFullError):
                scheduler.add(tenant, number)
        else:
            scheduler.add(tenant, number)
            kept.add(number)
        if step and (job := scheduler.next()) is not None:
            scheduler.charge(job, 1.0)
            scheduler.end(job)
            served.append(job)
        assert len(scheduler) <= capacity
    while (job := scheduler.next()) is not None:
        scheduler.end(job)
        served.append(job)
    assert sorted(served) == sorted(kept)


def company(key: str = "shape", *, tokens: int = 1, budget: int = 100, most: int = 8) -> Company:
    return Company(key=key, tokens=tokens, budget=budget, most=most)


def in_line(jobs: str, limits: Limits | None = None, **bounds: int) -> Scheduler[str]:
    """Jobs named tenant and number, which may all share a step; the first has begun."""
    scheduler: Scheduler[str] = Scheduler(100, limits)
    for job in jobs.split():
        scheduler.add(job[0], job, predicted=10.0, company=company(**bounds))
    first = scheduler.next()
    assert first
    scheduler.charge(first, 1.0, company=company(**bounds))
    return scheduler


def turns(scheduler: Scheduler[str], count: int, **bounds: int) -> list[list[str]]:
    """Who steps in each of the next turns; in one that is shared each has its part of a second."""
    found = []
    for _ in range(count):
        job = scheduler.next()
        assert job
        together = scheduler.mates(job)
        found.append(together)
        for each in together:
            scheduler.charge(each, 1.0 / len(together), company=company(**bounds))
    return found


def test_jobs_that_wait_begin_one_at_a_time_and_then_all_step_together() -> None:
    scheduler = in_line("a1 a2 a3")
    assert scheduler.next() == "a2"
    scheduler.charge("a2", 1.0, company=company())
    assert scheduler.next() == "a3"
    scheduler.charge("a3", 1.0, company=company())
    assert scheduler.next() == "a1"
    assert scheduler.mates("a1") == ["a1", "a2", "a3"]


def test_without_company_nobody_comes_along() -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for job in ("a1", "a2"):
        scheduler.add("a", job)
    assert scheduler.next() == "a1"
    scheduler.charge("a1", 1.0)
    assert scheduler.next() == "a1"
    assert scheduler.mates("a1") == ["a1"]
    assert scheduler.begun == 1


@pytest.mark.parametrize(("bounds", "size"), [({"most": 3}, 3), ({"tokens": 30}, 3), ({"tokens": 60}, 1), ({}, 8)])
def test_a_company_keeps_to_its_bounds_and_so_does_what_is_in_memory(bounds: dict[str, int], size: int) -> None:
    scheduler = in_line(" ".join(f"a{i}" for i in range(20)), Limits(begun=1), **bounds)
    last = turns(scheduler, 30, **bounds)[-1]
    assert len(last) == size
    # One place, and one company that takes none.
    assert scheduler.begun <= 2 * size


def test_other_keys_and_priorities_do_not_come_along() -> None:
    scheduler = in_line("a1 a2", Limits(begun=9))
    scheduler.add("b", "b1", company=company("another shape"))
    scheduler.add("c", "c1", priority=9, company=company())
    assert turns(scheduler, 1) == [["c1"]]
    scheduler.end("c1")
    assert [scheduler.next() for _ in "12"] == ["b1", "b1"]
    assert scheduler.mates("b1") == ["b1"]
    scheduler.charge("b1", 5.0, company=company("another shape"))
    assert turns(scheduler, 2) == [["a2", "a1"], ["a1", "a2"]]


def test_who_has_parted_steps_by_itself() -> None:
    scheduler = in_line("a1 a2 a3")
    turns(scheduler, 3)
    scheduler.part("a2")
    assert scheduler.mates("a1") == ["a1", "a3"]
    assert scheduler.mates("a2") == ["a2"]


def test_who_comes_along_pays_with_its_own_tenants_time() -> None:
    """a's jobs keep b's company, so that a third tenant is owed more than either."""
    scheduler = in_line("b1 a1 a2 a3")
    shared = turns(scheduler, 8)[-1]
    assert set(shared) == {"b1", "a1", "a2", "a3"}
    scheduler.add("c", "c1")
    assert scheduler.next() == "c1"
    scheduler.charge("c1", 0.1)
    scheduler.end("c1")
    # Since then a has used three times as much as b, whose turn it is although both step in it.
    assert scheduler.next() == "b1"


def test_a_flood_that_shares_its_steps_keeps_nobody_elses_job_from_beginning() -> None:
    scheduler = in_line(" ".join(f"a{i}" for i in range(40)), Limits(begun=2))
    turns(scheduler, 10)
    scheduler.add("b", "b1")
    assert scheduler.next() == "b1"


def test_a_job_that_needs_the_memory_for_itself_is_nobodys_company() -> None:
    scheduler = in_line("a1 a2 a3")
    scheduler.isolate("a1")
    begun = scheduler.next()
    assert begun == "a1"
    assert scheduler.mates("a1") == ["a1"]
    assert scheduler.begun == 1


def test_a_promised_job_takes_a_place_and_no_turn_before_it_is_fulfilled() -> None:
    scheduler: Scheduler[str] = Scheduler(1)
    scheduler.add("a", "promised", promised=True)
    assert scheduler.next() is None
    scheduler.add("a", "ready")
    assert scheduler.next() == "ready"
    assert scheduler.full
    with pytest.raises(QueueFullError):
        scheduler.add("a", "late")
    assert scheduler.fulfil("promised")
    # It came later than the one that is at work.
    assert scheduler.next() == "ready"
    scheduler.end("ready")
    assert scheduler.next() == "promised"


def test_where_none_has_begun_one_promise_takes_no_place_in_the_queue() -> None:
    scheduler: Scheduler[str] = Scheduler(2, Limits(leave_room=True))
    for job in "abc":
        assert not scheduler.full_for("tenant")
        scheduler.add("tenant", job, promised=True)
    assert scheduler.full
    assert scheduler.fulfil("b")
    assert scheduler.next() == "b"
    assert scheduler.full


def test_a_promise_that_is_taken_back_frees_its_place_and_its_time() -> None:
    scheduler: Scheduler[str] = Scheduler(1)
    scheduler.add("b", "begun")
    assert scheduler.next() == "begun"
    scheduler.add("a", "promised", predicted=1.0, promised=True)
    assert scheduler.full
    assert scheduler.forecast("a", now=1.0, priority=0, predicted=1.0) == 2.0
    scheduler.end("promised")
    assert scheduler.forecast("a", now=1.0, priority=0, predicted=1.0) == 1.0
    assert not scheduler.full
    assert not scheduler.fulfil("promised")


def test_who_finds_no_memory_beside_those_that_have_begun_waits_and_is_not_overtaken() -> None:
    scheduler: Scheduler[str] = Scheduler(8)
    big, small = Bytes(held=40, peak=70, room=100), Bytes(held=10, peak=20, room=100)
    scheduler.add("a", "first", memory=big)
    assert scheduler.next() == "first"
    scheduler.add("b", "second", memory=big)
    scheduler.add("c", "third", memory=small)
    for _ in range(6):
        assert scheduler.next() == "first"
        scheduler.charge("first", 1.0)
    scheduler.end("first")
    seen = set()
    for _ in range(6):
        job = scheduler.next()
        assert job is not None
        seen.add(job)
        scheduler.charge(job, 1.0)
    # The small one fits beside it: 50 held, and 30 more for the larger step.
    assert seen == {"second", "third"}


def test_a_job_alone_begins_whatever_it_needs_and_without_figures_all_do() -> None:
    scheduler: Scheduler[str] = Scheduler(8)
    scheduler.add("a", "huge", memory=Bytes(held=400, peak=700, room=100))
    assert scheduler.next() == "huge"
    scheduler.add("b", "unknown")
    scheduler.charge("huge", 1.0)
    assert scheduler.next() == "unknown"
