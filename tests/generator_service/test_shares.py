"""Tags of tenants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from generator_service.shares import Shares


def test_who_used_more_stands_further_and_who_comes_back_starts_where_the_others_are() -> None:
    shares = Shares()
    for tenant in "ab":
        shares.enter(tenant)
    shares.charge("a", 5.0)
    shares.charge("b", 3.0)
    assert shares.tag("a") - shares.tag("b") == 2.0
    shares.leave("b")
    shares.charge("a", 10.0)
    shares.enter("b")
    assert shares.tag("b") == shares.tag("a") == 15.0


def test_a_debt_is_not_forgotten_by_leaving_for_a_moment() -> None:
    shares = Shares()
    for tenant in "ab":
        shares.enter(tenant)
    shares.charge("a", 9.0)
    shares.leave("a")
    shares.enter("a")
    assert shares.tag("a") - shares.tag("b") == 9.0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["enter", "leave", "charge"])), max_size=200))
def test_nobody_is_remembered_once_everybody_has_left(events: list[tuple[str, str]]) -> None:
    shares, inside = Shares(), set()
    for tenant, kind in events:
        if kind == "enter":
            shares.enter(tenant)
            inside.add(tenant)
        elif tenant in inside and kind == "leave":
            shares.leave(tenant)
            inside.discard(tenant)
        elif tenant in inside:
            shares.charge(tenant, 1.0)
    for tenant in inside:
        shares.leave(tenant)
    assert not shares._tags
