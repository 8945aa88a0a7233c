"""The higher first, and what the lower ones keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_service.priorities import Priorities


def test_a_short_draft_is_not_interrupted_to_pay_for_a_long_step() -> None:
    priorities = Priorities(0.1)
    priorities.charge(0, 10.0, {0})
    for _ in range(20):
        assert priorities.pick({0, 5}) == 5
        priorities.charge(5, 0.5, {0, 5})


def test_without_a_floor_it_is_strict() -> None:
    priorities = Priorities(0.0)
    for _ in range(1000):
        assert priorities.pick({0, 5}) == 5
        priorities.charge(5, 1.0, {0, 5})


def test_what_was_owed_to_those_who_left_is_forgotten() -> None:
    priorities = Priorities(0.1)
    for _ in range(50):
        priorities.charge(5, 1.0, {0, 5})
    priorities.charge(5, 1.0, {5})
    assert priorities.pick({0, 5}) == 5


@given(st.floats(0.02, 0.4), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([1, 4]))
def test_over_a_long_flood_the_floor_is_kept_to_within_a_step(floor: float, step: float, sharing: int) -> None:
    """Also where a step of those below is one that several share, each charged with its part."""
    priorities, spent = Priorities(floor), {0: 0.0, 5: 0.0}
    for _ in range(2000):
        level = priorities.pick(set(spent))
        seconds = step if level == 0 else 1.0
        spent[level] += seconds
        parts = sharing if level == 0 else 1
        for _ in range(parts):
            priorities.charge(level, seconds / parts, set(spent), turn=seconds)
    # The floor is a share of what the higher priority uses.
    assert abs(spent[0] - floor * spent[5]) <= step + 1.0


@pytest.mark.parametrize("floor", [-0.1, 0.5, 1.0])
def test_a_floor_that_is_no_share_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match="floor"):
        Priorities(floor)
