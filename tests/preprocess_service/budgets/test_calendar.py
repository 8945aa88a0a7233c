"""UTC calendar windows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.budgets import calendar
from preprocess_service.budgets.core import COUNTED, Window

TIMES = st.integers(min_value=0, max_value=7_258_118_400_000)  # to the year 2200


def ms(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("window", "at", "start", "end"),
    [
        (Window.MINUTE, ms(2026, 11, 25, 3, 59, 59), ms(2026, 11, 25, 3, 59), ms(2026, 11, 25, 4)),
        (Window.DAY, ms(2026, 12, 31, 23, 59), ms(2026, 12, 31), ms(2027, 1, 1)),
        (Window.MONTH, ms(2028, 2, 29, 12), ms(2028, 2, 1), ms(2028, 3, 1)),
        (Window.MONTH, ms(2026, 12, 31, 23, 59, 59), ms(2026, 12, 1), ms(2027, 1, 1)),
        (Window.MONTH, ms(2026, 1, 31), ms(2026, 1, 1), ms(2026, 2, 1)),
    ],
)
def test_a_window_begins_and_ends_by_the_calendar(window: Window, at: int, start: int, end: int) -> None:
    assert (calendar.start(window, at), calendar.end(window, at)) == (start, end)


@given(TIMES, st.sampled_from(COUNTED))
def test_every_moment_lies_in_one_window_and_they_follow_each_other(at: int, window: Window) -> None:
    start, end = calendar.start(window, at), calendar.end(window, at)
    assert start <= at < end
    assert calendar.start(window, end) == end
    assert calendar.before(window, end) == start


def test_the_first_moment_of_a_window_is_in_it() -> None:
    first = ms(2026, 3, 1)
    assert calendar.start(Window.MONTH, first) == first
    assert calendar.before(Window.MONTH, first) == ms(2026, 2, 1)


def test_a_request_is_no_window_of_time() -> None:
    with pytest.raises(ValueError, match="no window"):
        calendar.start(Window.REQUEST, 0)
