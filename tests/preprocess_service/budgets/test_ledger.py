"""What every ledger does, wherever it keeps its books."""

from __future__ import annotations

import pytest

from preprocess_service.budgets.core import ANYBODY, NOTHING, Amount, Budget, Cause, Limit, Raise, State, Window
from preprocess_service.budgets.ledger import Ledger
from reelgate.rpc.errors import BudgetChangedError, InvalidFieldError

from .values import FILED, NOON, PRICE, ask, bill, limited


async def test_what_is_reserved_is_held_in_every_window(ledger: Ledger) -> None:
    decision = await ledger.reserve(ask(), FILED)
    standing = await ledger.standing("a", FILED, NOON)
    assert decision.fresh
    assert {totals.held for totals in standing.totals.values()} == {Amount(tokens=10, device_ms=100)}
    assert standing.open_holds == 1


async def test_a_refusal_holds_nothing_and_says_why(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(15), by="t", at_ms=NOON)
    await ledger.reserve(ask("n1"), FILED)
    refused = await ledger.reserve(ask("n2"), FILED)
    standing = await ledger.standing("a", FILED, NOON)
    assert refused.hold is None
    assert [(r.subject, r.asked, r.limit, r.free) for r in refused.refusals] == [("day.tokens", 10, 15, 5)]
    assert standing.totals[Window.DAY].held.tokens == 10
    assert standing.open_holds == 1


async def test_a_retry_finds_its_hold(ledger: Ledger) -> None:
    first = await ledger.reserve(ask(request_id="q"), FILED)
    again = await ledger.reserve(ask(run="other", request_id="q"), FILED)
    assert again.hold == first.hold
    assert not again.fresh
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 1


async def test_a_request_id_of_another_open_request_is_an_error_of_the_client(ledger: Ledger) -> None:
    await ledger.reserve(ask("n1", request_id="q"), FILED)
    with pytest.raises(InvalidFieldError):
        await ledger.reserve(ask("n2", request_id="q"), FILED)
    assert await ledger.find("n2", "r") is None


async def test_a_charge_never_exceeds_its_hold_and_the_rest_is_overrun(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(12), by="t", at_ms=NOON)
    await ledger.reserve(ask(), FILED)
    ended = await ledger.settle("n", "r", bill(tokens=20), PRICE, FILED, NOON)
    assert ended is not None
    assert (ended.charged.tokens, ended.overrun.tokens, ended.measured.tokens) == (12, 8, 20)
    day = (await ledger.standing("a", FILED, NOON)).totals[Window.DAY]
    assert (day.held, day.charged.tokens, day.overrun.tokens) == (NOTHING, 12, 8)


async def test_a_hold_that_has_ended_stays_as_it_ended(ledger: Ledger) -> None:
    await ledger.reserve(ask(), FILED)
    first = await ledger.settle("n", "r", bill(), PRICE, FILED, NOON)
    again = await ledger.settle("n", "r", bill(Cause.FAILED, tokens=0), PRICE, FILED, NOON)
    assert first is not None
    assert again is not None
    assert (again.fresh, again.hold, again.charged) == (False, first.hold, first.charged)
    assert again.price.version == PRICE.version
    assert await ledger.settle("nobody", "r", bill(), PRICE, FILED, NOON) is None


async def test_a_hold_grows_as_far_as_there_is_room(ledger: Ledger) -> None:
    await ledger.set_budget(ANYBODY, limited(25), by="t", at_ms=NOON)
    await ledger.reserve(ask(), FILED)
    grown = await ledger.extend("n", "r", Amount(tokens=40, device_ms=300), FILED, NOON)
    assert grown is not None
    assert grown.amount == Amount(tokens=25, device_ms=300)
    assert await ledger.find("n", "r") == grown


async def test_a_raise_counts_until_it_expires(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(5), by="t", at_ms=NOON)
    extra = Raise(window=Window.DAY, amount=Amount(tokens=5), expires_ms=NOON + 1000, note="launch")
    assert await ledger.add_raise("a", extra, by="t", at_ms=NOON) == 2
    assert (await ledger.would(ask(), FILED)).hold is not None
    assert (await ledger.would(ask(at_ms=NOON + 1000), FILED)).hold is None
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 0


async def test_a_budget_that_changed_meanwhile_is_not_overwritten(ledger: Ledger) -> None:
    version = await ledger.set_budget("a", limited(5), by="t", at_ms=NOON)
    await ledger.set_budget("a", limited(6), by="t", at_ms=NOON, expected=version)
    with pytest.raises(BudgetChangedError):
        await ledger.set_budget("a", limited(7), by="t", at_ms=NOON, expected=version)
    assert (await ledger.standing("a", FILED, NOON)).allowance.budget == limited(6)


async def test_a_hold_has_one_keeper_at_a_time_the_oldest_first(ledger: Ledger) -> None:
    for number in range(3):
        await ledger.reserve(ask(f"n{number}", at_ms=NOON - number), FILED)
    first = await ledger.claim("one", at_ms=NOON, for_ms=100, most=2)
    assert [hold.name for hold in first] == ["n2", "n1"]
    assert [hold.name for hold in await ledger.claim("two", at_ms=NOON, for_ms=100, most=5)] == ["n0"]
    await ledger.renew("one", [("n2", "r")], at_ms=NOON, for_ms=500)
    await ledger.settle("n0", "r", bill(), PRICE, FILED, NOON)
    assert [hold.name for hold in await ledger.claim("two", at_ms=NOON + 100, for_ms=1, most=5)] == ["n1"]


async def test_who_was_looked_at_last_is_claimed_last(ledger: Ledger) -> None:
    for number in range(5):
        await ledger.reserve(ask(f"n{number}"), FILED)
    seen: list[str] = []
    for at in range(0, 30, 10):
        # Each claim has run out before the next: a slow generator.
        seen += [hold.name for hold in await ledger.claim("one", at_ms=NOON + at, for_ms=5, most=2)]
    assert set(seen[:4]) == {"n0", "n1", "n2", "n3"}
    assert "n4" in seen[4:6], "the last comes before the first comes again"
    assert all(seen.count(f"n{number}") for number in range(5))


async def test_a_lapsed_release_charges_nothing_and_keeps_no_drift(ledger: Ledger) -> None:
    await ledger.reserve(ask(), FILED)
    ended = await ledger.settle("n", "r", bill(Cause.NEVER_BEGAN, tokens=0, device_ms=0), PRICE, FILED, NOON)
    assert ended is not None
    assert (ended.hold.state, ended.charged) == (State.RELEASED, NOTHING)
    assert await ledger.drift() == ()


LEASE = ask("slices/x", "s", tokens=30, device_ms=300)
"""A wish for a slice."""


async def test_a_slice_is_held_and_is_no_open_run(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(40, concurrent=1), by="t", at_ms=NOON)
    piece = await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    standing = await ledger.standing("a", FILED, NOON)
    assert piece is not None
    assert (piece.state, piece.amount) == (State.SLICE, LEASE.amount)
    assert (standing.totals[Window.DAY].held, standing.open_holds) == (LEASE.amount, 0)
    assert await ledger.claim("y", at_ms=NOON + 2000, for_ms=1, most=9) == ()
    assert (await ledger.reserve(ask(), FILED)).hold is not None
    refused = await ledger.reserve(ask("n2", tokens=1), FILED)
    assert [refusal.subject for refusal in refused.refusals] == ["day.tokens", "concurrent"]
    assert await ledger.drift() == ()


async def test_a_slice_is_what_is_free_of_it_or_none(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(25), by="t", at_ms=NOON)
    first = await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    assert first is not None
    assert first.amount == Amount(tokens=25, device_ms=300)
    rest = await ledger.lease(ask("slices/y", "s", tokens=30, device_ms=0), FILED, owner="y", for_ms=1000)
    assert rest is None


async def test_what_a_run_may_have_does_not_bind_a_slice(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(5, Window.REQUEST), by="t", at_ms=NOON)
    piece = await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    assert piece is not None
    assert piece.amount == LEASE.amount


async def test_a_run_moves_from_a_slice_to_a_hold_of_its_own(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(30), by="t", at_ms=NOON)
    await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    later, given = NOON + 86_400_000, {"owner": "x", "until_ms": NOON + 86_400_000 + 50}
    granted = ask(at_ms=later, request_id="q")
    moved = await ledger.move(("slices/x", "s"), granted, FILED, at_ms=later, **given)  # type: ignore[arg-type]
    again = await ledger.move(("slices/x", "s"), granted, FILED, at_ms=later, **given)  # type: ignore[arg-type]
    assert moved.hold is not None
    assert (moved.fresh, moved.hold.amount, moved.hold.at_ms) == (True, granted.amount, NOON)
    assert (again.fresh, again.hold) == (False, moved.hold)
    day = (await ledger.standing("a", FILED, NOON)).totals[Window.DAY]
    assert day.held == LEASE.amount
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 1
    piece = await ledger.find("slices/x", "s")
    assert piece is not None
    assert piece.amount == Amount(tokens=20, device_ms=200)
    assert await ledger.claim("y", at_ms=later + 49, for_ms=1, most=9) == ()
    assert await ledger.claim("y", at_ms=later + 50, for_ms=1, most=9) == (moved.hold,)
    assert (await ledger.reserve(ask(run="other", request_id="q"), FILED)).hold == moved.hold
    await ledger.give_back("slices/x", "s", at_ms=later)
    ended = await ledger.settle("n", "r", bill(device_ms=80), PRICE, FILED, later)
    assert ended is not None
    assert ended.charged == Amount(tokens=10, device_ms=80)
    day = (await ledger.standing("a", FILED, NOON)).totals[Window.DAY]
    assert (day.held, day.charged) == (NOTHING, Amount(tokens=10, device_ms=80))
    assert await ledger.drift() == ()


async def test_a_run_whose_slice_is_gone_is_held_for_as_far_as_there_is_room(ledger: Ledger) -> None:
    await ledger.set_budget("a", limited(30), by="t", at_ms=NOON)
    await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    await ledger.give_back("slices/x", "s", at_ms=NOON)
    await ledger.reserve(ask("n2", tokens=24), FILED)
    moved = await ledger.move(("slices/x", "s"), ask(), FILED, owner="x", until_ms=NOON, at_ms=NOON)
    assert moved.hold is not None
    assert moved.hold.amount == Amount(tokens=6, device_ms=100)
    assert (await ledger.standing("a", FILED, NOON)).totals[Window.DAY].held.tokens == 30
    assert await ledger.drift() == ()


async def test_a_slice_is_given_back_once_and_by_others_only_when_it_is_left_alone(ledger: Ledger) -> None:
    await ledger.lease(LEASE, FILED, owner="x", for_ms=1000)
    key = (LEASE.name, LEASE.run)
    assert await ledger.lapsed(at_ms=NOON + 999, most=9) == ()
    await ledger.renew("x", [key], at_ms=NOON + 500, for_ms=1000)
    assert await ledger.lapsed(at_ms=NOON + 1000, most=9) == ()
    kept = await ledger.give_back(*key, at_ms=NOON + 1499, lapsed=True)
    assert kept is not None
    assert kept.state is State.SLICE
    assert [hold.name for hold in await ledger.lapsed(at_ms=NOON + 1500, most=9)] == ["slices/x"]
    for _ in range(2):
        ended = await ledger.give_back(*key, at_ms=NOON + 1500, lapsed=True)
        assert ended is not None
        assert (ended.state, ended.cause) == (State.RELEASED, Cause.NEVER_BEGAN)
    assert (await ledger.standing("a", FILED, NOON)).totals[Window.DAY].held == NOTHING
    assert await ledger.give_back("slices/z", "s", at_ms=NOON) is None
    assert await ledger.drift() == ()


@pytest.mark.parametrize("grows", ["extend", "settle"])
async def test_what_a_day_carried_over_is_not_spent_by_it_afterwards(ledger: Ledger, grows: str) -> None:
    carrying = Budget(limits=(Limit(window=Window.DAY, tokens=100, carry_over=True),))
    await ledger.set_budget("a", carrying, by="t", at_ms=NOON)
    await ledger.reserve(ask("yesterday", tokens=60), FILED)
    tomorrow = NOON + 86_400_000
    assert (await ledger.reserve(ask("today", tokens=140, at_ms=tomorrow), FILED)).fresh
    if grows == "extend":
        await ledger.extend("yesterday", "r", Amount(tokens=100, device_ms=100), FILED, tomorrow)
    ended = await ledger.settle("yesterday", "r", bill(tokens=100), PRICE, FILED, tomorrow)
    assert ended is not None
    assert (ended.charged.tokens, ended.overrun.tokens) == (60, 40)


async def test_who_comes_late_finds_no_room_that_the_next_day_has_taken_over(ledger: Ledger) -> None:
    """Its moment is from before midnight; another replica's clock was past it."""
    carrying = Budget(limits=(Limit(window=Window.DAY, tokens=100, carry_over=True),))
    await ledger.set_budget("a", carrying, by="t", at_ms=NOON)
    assert (await ledger.reserve(ask("today", tokens=30), FILED)).fresh
    tomorrow = NOON + 86_400_000
    first = await ledger.reserve(ask("tomorrow", tokens=170, at_ms=tomorrow), FILED)
    assert first.fresh
    late = await ledger.reserve(ask("late", tokens=1), FILED)
    assert late.hold is None
    assert [(refusal.free, refusal.never) for refusal in late.refusals] == [(0, False)]
    assert (await ledger.would(ask("late", tokens=1), FILED)).hold is None
    slice_ = await ledger.lease(ask("slices/x", tokens=1), FILED, owner="a", for_ms=1000)
    assert slice_ is None
    # What was given back is there again, for both.
    await ledger.settle("tomorrow", "r", bill(Cause.NEVER_BEGAN, 0, 0), PRICE, FILED, tomorrow)
    assert (await ledger.reserve(ask("late", tokens=70), FILED)).fresh
    assert not (await ledger.reserve(ask("after it", tokens=101, at_ms=tomorrow), FILED)).fresh


@pytest.mark.parametrize(("tomorrows", "room"), [(10, 170), (100, 170), (101, 69), (170, 0)])
async def test_a_clock_that_ran_ahead_takes_from_today_only_what_it_took_over(
    ledger: Ledger, tomorrows: int, room: int
) -> None:
    """Within its own limit tomorrow needs nothing of today's, whose own is 100 and which took 100 over from yesterday."""
    carrying = Budget(limits=(Limit(window=Window.DAY, tokens=100, carry_over=True),))
    await ledger.set_budget("a", carrying, by="t", at_ms=NOON)
    assert (await ledger.reserve(ask("today", tokens=30), FILED)).fresh
    assert (await ledger.reserve(ask("tomorrow", tokens=tomorrows, at_ms=NOON + 86_400_000), FILED)).fresh
    assert (await ledger.would(ask("late", tokens=room + 1), FILED)).hold is None
    if room:
        assert (await ledger.reserve(ask("late", tokens=room), FILED)).fresh
        grown = await ledger.extend("late", "r", Amount(tokens=room + 1, device_ms=100), FILED, NOON)
        assert grown is not None
        assert grown.amount.tokens == room


async def test_before_its_end_a_carrying_day_lets_holds_grow(ledger: Ledger) -> None:
    carrying = Budget(limits=(Limit(window=Window.DAY, tokens=100, carry_over=True),))
    await ledger.set_budget("a", carrying, by="t", at_ms=NOON)
    await ledger.reserve(ask(tokens=60), FILED)
    ended = await ledger.settle("n", "r", bill(tokens=100), PRICE, FILED, NOON + 1)
    assert ended is not None
    assert ended.charged.tokens == 100
