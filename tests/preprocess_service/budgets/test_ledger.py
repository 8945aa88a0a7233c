"""What every ledger does, wherever it keeps its books."""

from __future__ import annotations

import pytest

from preprocess_service.budgets.core import ANYBODY, NOTHING, Amount, Cause, Raise, State, Window
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


async def test_a_lapsed_release_charges_nothing_and_keeps_no_drift(ledger: Ledger) -> None:
    await ledger.reserve(ask(), FILED)
    ended = await ledger.settle("n", "r", bill(Cause.NEVER_BEGAN, tokens=0, device_ms=0), PRICE, FILED, NOON)
    assert ended is not None
    assert (ended.hold.state, ended.charged) == (State.RELEASED, NOTHING)
    assert await ledger.drift() == ()
