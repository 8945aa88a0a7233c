"""A line through the times of steps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_service.timing import Timing


def test_nothing_is_predicted_from_nothing() -> None:
    assert Timing().predict(1e9) is None
    assert Timing().rate == 0.0


def test_one_size_is_taken_as_all_work() -> None:
    timing = Timing()
    timing.observe(1e9, 0.5)
    assert timing.predict(4e9) == 2.0
    assert timing.rate == pytest.approx(2e9)


@given(st.floats(0.0, 1.0), st.floats(1e-12, 1e-9), st.randoms(use_true_random=False))
def test_overhead_and_rate_are_found_though_a_tenth_of_the_steps_were_disturbed(
    overhead: float, slope: float, chance: random.Random
) -> None:
    timing = Timing()
    for work in (1e8, 4e8, 1e9, 3e9):
        times = [overhead + slope * work] * 18 + [10 * (overhead + slope * work)] * 2
        chance.shuffle(times)
        for seconds in times:
            timing.observe(work, seconds)
    expected = overhead + slope * 2e9
    found = timing.predict(2e9)
    assert found is not None
    assert abs(found - expected) <= 0.02 * expected


def test_a_size_that_was_seen_takes_what_it_took() -> None:
    timing = Timing()
    for work, seconds in ((1e9, 1.0), (2e9, 2.0), (3e9, 9.0)):
        for _ in range(3):
            timing.observe(work, seconds)
    assert timing.predict(3e9) == 9.0


def test_old_sizes_make_room() -> None:
    timing = Timing()
    for size in range(1, 200):
        for _ in range(100):
            timing.observe(float(size), 1.0)
    assert sum(len(times) for times in timing._seen.values()) <= Timing.SIZES * Timing.KEPT
