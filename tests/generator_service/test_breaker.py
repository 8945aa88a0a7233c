"""When a tier rests, and how it comes back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_service.breaker import Breaker, BreakerOpenError, State


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker("full", failures=3, seconds=30.0, longest=100.0)
    for name in "abc":
        breaker.admit(name, now)
        breaker.failed(name, now)
    return breaker


def test_failures_in_a_row_open_it_and_it_says_when_to_come_back() -> None:
    breaker = opened()
    with pytest.raises(BreakerOpenError) as caught:
        breaker.admit("d", 10.0)
    assert caught.value.retry_after == 20.0
    assert breaker.state(29.9) is State.OPEN


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker("full", failures=2)
    for _ in range(5):
        breaker.failed("a", 0.0)
        breaker.succeeded()
    assert breaker.state(0.0) is State.CLOSED


def test_one_probe_passes_and_its_success_closes_it() -> None:
    breaker = opened()
    breaker.admit("probe", 30.0)
    with pytest.raises(BreakerOpenError):
        breaker.admit("second", 31.0)
    breaker.succeeded()
    breaker.admit("third", 31.0)
    assert breaker.state(31.0) is State.CLOSED


def test_a_failed_probe_opens_it_for_twice_as_long_and_never_longer_than_the_longest() -> None:
    breaker, now = opened(), 0.0
    for wait in (30.0, 60.0, 100.0, 100.0):
        assert breaker.state(now + wait - 0.1) is State.OPEN
        now += wait
        breaker.admit("probe", now)
        breaker.failed("probe", now)


def test_a_probe_that_was_cancelled_says_nothing_and_the_next_one_probes() -> None:
    breaker = opened()
    breaker.admit("probe", 30.0)
    breaker.left("probe")
    breaker.admit("next", 30.0)


def test_what_was_let_in_before_and_fails_late_does_not_lengthen_the_rest() -> None:
    breaker = opened()
    breaker.failed("late", 20.0)
    assert breaker.state(30.0) is State.HALF_OPEN


@pytest.mark.parametrize("bad", [{"failures": 0}, {"seconds": 0.0}, {"seconds": 60.0, "longest": 30.0}])
def test_a_breaker_that_cannot_work_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one failure"):
        Breaker("full", **bad)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(["admit", "succeed", "fail", "leave"]), st.integers(0, 50)), max_size=60))
def test_whatever_happens_it_lets_somebody_through_again(events: list[tuple[str, int]]) -> None:
    breaker, now, waiting = Breaker("full", failures=1, seconds=5.0, longest=20.0), 0.0, set()
    for number, (kind, later) in enumerate(events):
        now += later
        if kind == "admit":
            with suppress(BreakerOpenError):
                breaker.admit(str(number), now)
                waiting.add(str(number))
        elif waiting:
            name = waiting.pop()
            if kind == "succeed":
                breaker.succeeded()
            elif kind == "fail":
                breaker.failed(name, now)
            else:
                breaker.left(name)
    for name in waiting:
        breaker.left(name)
    breaker.admit("last", now + 20.0)
