"""What is due, by how a run ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.budgets.bills import bill
from preprocess_service.budgets.core import NOTHING, Amount, Cause, Price

ALL = Amount(tokens=40, device_ms=900)


@pytest.mark.parametrize(
    ("cause", "began", "due", "overrun"),
    [
        (Cause.DONE, True, ALL, NOTHING),
        (Cause.CONTENT, True, ALL, NOTHING),
        (Cause.STORED, True, Amount(tokens=40), NOTHING),
        (Cause.CANCELLED, True, ALL, NOTHING),
        (Cause.CANCELLED, False, Amount(device_ms=900), NOTHING),
        (Cause.FAILED, True, NOTHING, ALL),
        (Cause.REFUSED, False, NOTHING, NOTHING),
        (Cause.JOINED, False, NOTHING, NOTHING),
        (Cause.NEVER_BEGAN, False, NOTHING, NOTHING),
    ],
)
def test_each_way_to_end_has_its_rule(cause: Cause, began: bool, due: Amount, overrun: Amount) -> None:
    made = bill(cause, tokens=40, device_ms=900, began=began)
    assert made.due == due
    assert made.measured - made.due == overrun


@given(st.sampled_from(Cause), st.integers(0, 10**6), st.integers(0, 10**9), st.booleans())
def test_nothing_is_due_that_was_not_measured(cause: Cause, tokens: int, device_ms: int, began: bool) -> None:
    made = bill(cause, tokens=tokens, device_ms=device_ms, began=began)
    assert 0 <= made.due.tokens <= made.measured.tokens
    assert 0 <= made.due.device_ms <= made.measured.device_ms


def test_money_is_rounded_alike_for_costs_and_savings() -> None:
    price = Price(tokens_micros=1_500, device_micros=333)
    assert price.tokens(1) == 2
    assert price.tokens(-1) == -2
    assert price.device(1_000) == 333
    assert price.device(1) == 0


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**6))
def test_money_is_never_more_than_half_a_micro_off(tokens: int, per_1000: int) -> None:
    exact = tokens * per_1000
    assert abs(Price(tokens_micros=per_1000).tokens(tokens) * 1000 - exact) <= 500
