"""While the ledger is down a replica spends the slice that it leased before, and no token more; afterwards the books are whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from preprocess_service.budgets.books import Books
from preprocess_service.budgets.core import DEGRADED, NOTHING, Amount, Ask, Cause, State, Totals, Window
from preprocess_service.budgets.journal import Journal, Line, read
from preprocess_service.budgets.ledger import Ledger
from preprocess_service.budgets.slices import SliceRules, Slices
from preprocess_service.budgets.tending import Tending
from preprocess_service.settings import Settings
from reelgate.rpc.errors import (
    BudgetStoreUnavailableError,
    InvalidFieldError,
)

from .replicas import Link, journals
from .values import FILED, NOON, ask, bill, limited

SLICE = Amount(tokens=30, device_ms=300)
AWAY_MS = 600_000


@dataclass(kw_only=True)
class Desk:
    """A replica without the service around it, and a clock that is set by hand."""

    link: Link
    books: Books
    slices: Slices
    tending: Tending
    time: list[int] = field(default_factory=list)

    async def after(self, ms: int) -> None:
        self.time[0] += ms
        await self.tending.tend()

    async def granted(self, **given: Any) -> bool:
        decision = await self.books.reserve(ask(at_ms=self.time[0], **given))
        assert DEGRADED in decision.warnings
        return decision.hold is not None


def desk(ledger: Ledger, folder: Path, replica: str = "x", at_ms: int = NOON) -> Desk:
    link: Any = Link(ledger)
    time = [at_ms]
    rules = SliceRules(amount=SLICE, tenants=2, quiet_ms=900_000, away_ms=AWAY_MS)
    books = Books(ledger=link, replica=replica, now=lambda: time[0])
    slices = Slices(rules=rules, journal=Journal(folder, replica), figures=books.figures)
    books = Books(ledger=link, replica=replica, now=lambda: time[0], slices=slices, figures=books.figures)
    return Desk(link=link, books=books, slices=slices, tending=Tending(books, slices, every_s=5), time=time)


@pytest.fixture
async def one(ledger: Ledger, tmp_path: Path) -> Desk:
    """A replica that has a slice of tenant ``a``, which has charged 10 tokens."""
    made = desk(ledger, tmp_path / "journal")
    await used(made)
    await made.tending.tend()
    return made


async def used(by: Desk, name: str = "first", tenant: str = "a") -> None:
    assert (await by.books.reserve(ask(name, tenant=tenant, at_ms=by.time[0]))).fresh
    await by.link.settle(name, "r", bill(), by.books.prices("", NOON), FILED, by.time[0])


async def day(ledger: Ledger, at_ms: int = NOON, window: Window = Window.DAY) -> Totals:
    assert await ledger.drift() == ()
    return (await ledger.standing("a", FILED, at_ms)).totals[window]


async def test_a_tenant_that_asks_gets_a_slice_and_loses_it_when_it_is_quiet(one: Desk, ledger: Ledger) -> None:
    assert (await day(ledger)).held == SLICE
    one.time[0] += 900_000
    await one.tending.tend()
    assert (await day(ledger)).held == SLICE
    await one.after(1)
    assert (await day(ledger)).held == NOTHING
    assert one.slices.open == {}


async def test_only_so_many_tenants_have_one(one: Desk) -> None:
    await used(one, "b", "b")
    await used(one, "c", "c")
    await one.tending.tend()
    assert sorted(one.slices.open) == ["a", "c"]


async def test_exactly_the_slice_is_granted_and_then_no_more(one: Desk, ledger: Ledger) -> None:
    one.link.down = True
    asked = await asyncio.gather(
        *(one.granted(name=f"n{number}", run="r", device_ms=10) for number in range(8)), return_exceptions=True
    )
    refused = [each for each in asked if each is not True]
    assert (len(refused), {type(each) for each in refused}) == (5, {BudgetStoreUnavailableError})
    with pytest.raises(BudgetStoreUnavailableError):
        await one.granted(name="one more", tokens=1, device_ms=0)
    assert (await day(ledger)).held == SLICE
    one.link.down = False
    await one.after(5000)
    holds = [await ledger.find(f"n{number}", "r") for number in range(8)]
    assert [hold.amount.tokens for hold in holds if hold] == [10, 10, 10]
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 3
    # The slice is whole again, beside the holds.
    assert (await day(ledger)).held == SLICE + Amount(tokens=30, device_ms=30)


async def test_device_time_binds_as_tokens_do(one: Desk) -> None:
    one.link.down = True
    assert await one.granted(tokens=1, device_ms=300)
    with pytest.raises(BudgetStoreUnavailableError):
        await one.granted(name="n2", tokens=1, device_ms=1)


async def test_who_has_no_slice_is_refused(one: Desk) -> None:
    one.link.down = True
    with pytest.raises(BudgetStoreUnavailableError):
        await one.granted(tenant="stranger")


async def test_a_retry_finds_what_was_granted(one: Desk) -> None:
    one.link.down = True
    assert await one.granted(request_id="q")
    for given in ({"run": "other", "request_id": "q"}, {"run": "r"}):
        decision = await one.books.reserve(ask(at_ms=one.time[0], **given))
        assert (decision.fresh, decision.hold and decision.hold.run) == (False, "r")
    assert one.slices.open["a"].left == SLICE - Amount(tokens=10, device_ms=100)
    with pytest.raises(InvalidFieldError):
        await one.granted(name="another", request_id="q")
    one.link.down = False
    # Before any round has booked it.
    decision = await one.books.reserve(ask(at_ms=one.time[0], run="other", request_id="q"))
    assert (decision.fresh, decision.hold and decision.hold.run) == (False, "r")


async def test_limits_of_a_request_and_of_concurrent_runs_are_those_that_were_known(
    ledger: Ledger, tmp_path: Path
) -> None:
    made = desk(ledger, tmp_path)
    await ledger.set_budget("a", limited(10, Window.REQUEST, concurrent=1), by="t", at_ms=NOON)
    await used(made)
    await made.tending.tend()
    made.link.down = True
    too_long = await made.books.reserve(ask(tokens=11, at_ms=NOON))
    assert [refusal.subject for refusal in too_long.refusals] == ["request.tokens"]
    first = await made.books.reserve(ask("n1", device_ms=1, at_ms=NOON))
    assert first.hold is not None
    crowd = await made.books.reserve(ask("n2", device_ms=1, at_ms=NOON))
    assert [refusal.subject for refusal in crowd.refusals] == ["concurrent"]
    with pytest.raises(BudgetStoreUnavailableError):
        await made.books.settle(first.hold, bill())
    assert await made.granted(name="n2", device_ms=1)


async def test_a_run_that_ended_meanwhile_is_settled_when_it_is_booked(one: Desk, ledger: Ledger) -> None:
    one.link.down = True
    granted = (await one.books.reserve(ask(at_ms=one.time[0]))).hold
    assert granted is not None
    with pytest.raises(BudgetStoreUnavailableError):
        await one.books.settle(granted, bill(device_ms=80))
    one.link.down = False
    await one.after(5000)
    assert (await day(ledger)).charged == Amount(tokens=20, device_ms=160)
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 0


async def test_what_never_ran_is_as_if_it_had_not_been_granted(one: Desk, ledger: Ledger) -> None:
    one.link.down = True
    granted = (await one.books.reserve(ask(at_ms=one.time[0]))).hold
    assert granted is not None
    ended = await one.books.settle(granted, bill(Cause.JOINED, tokens=0, device_ms=0))
    assert ended is not None
    assert (ended.hold.state, one.slices.open["a"].left, one.slices.grants) == (State.RELEASED, SLICE, {})
    one.link.down = False
    await one.after(5000)
    assert await ledger.find("n", "r") is None


async def test_a_limit_is_never_passed_and_a_slice_is_what_is_free_of_it(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.set_budget("a", limited(25), by="t", at_ms=NOON)
    made = desk(ledger, tmp_path)
    await used(made)
    await made.tending.tend()
    assert (await day(ledger)).held.tokens == 15
    made.link.down = True
    assert await made.granted()
    with pytest.raises(BudgetStoreUnavailableError):
        await made.granted(name="n2")
    made.link.down = False
    await made.after(5000)
    totals = await day(ledger)
    assert totals.held.tokens + totals.charged.tokens == 25


async def test_a_slice_makes_room_where_a_request_would_be_refused_for_it(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.set_budget("a", limited(25), by="t", at_ms=NOON)
    made = desk(ledger, tmp_path)
    await used(made)
    await made.tending.tend()
    assert (await made.books.reserve(ask("n2", tokens=15, at_ms=NOON))).hold is not None
    await made.after(5000)
    assert made.slices.open == {}
    assert (await day(ledger)).held.tokens == 15


@pytest.mark.parametrize(("window", "ms"), [(Window.MINUTE, 60_000), (Window.MONTH, 3_600_000)])
async def test_a_slice_is_renewed_with_the_shortest_limited_window_or_the_hour(
    ledger: Ledger, tmp_path: Path, window: Window, ms: int
) -> None:
    await ledger.set_budget("a", limited(100, window), by="t", at_ms=NOON)
    made = desk(ledger, tmp_path)
    await used(made)
    await made.tending.tend()
    first = made.slices.open["a"].key
    made.time[0] = NOON + ms - 1
    made.slices.used("a", made.time[0])
    await made.tending.tend()
    assert made.slices.open["a"].key == first
    await made.after(1)
    second = made.slices.open["a"]
    assert second.key != first
    assert second.hold.at_ms == NOON + ms
    assert (await day(ledger, NOON, Window.MINUTE)).held == NOTHING
    assert (await day(ledger, NOON + ms, Window.MINUTE)).held == SLICE


async def test_what_is_granted_after_a_window_has_ended_counts_in_that_of_the_slice(
    ledger: Ledger, tmp_path: Path
) -> None:
    await ledger.set_budget("a", limited(40, Window.MINUTE), by="t", at_ms=NOON)
    made = desk(ledger, tmp_path)
    await used(made)
    await made.tending.tend()
    made.link.down = True
    made.time[0] += 300_000
    assert await made.granted()
    made.link.down = False
    await made.after(0)
    before, now = [await day(ledger, at, Window.MINUTE) for at in (NOON, NOON + 300_000)]
    assert (before.held.tokens, now.held.tokens) == (10, 30)
    assert before.held.tokens + before.charged.tokens <= 40


async def test_a_replica_that_was_killed_books_what_it_granted_when_it_starts_again(
    one: Desk, ledger: Ledger, tmp_path: Path
) -> None:
    one.link.down = True
    assert await one.granted(request_id="q")
    assert await one.granted(name="n2")
    one.slices.journal.close(keep=True)  # what the system does when a process is killed
    again = desk(ledger, tmp_path / "journal", "y", NOON + 60_000)
    await again.tending.tend()
    holds = [await ledger.find(name, "r") for name in ("n", "n2")]
    assert [hold and hold.at_ms for hold in holds] == [NOON, NOON]
    totals = await day(ledger)
    assert totals.held == Amount(tokens=20, device_ms=200)  # the slice of the dead one is given back, too
    assert (await ledger.reserve(ask(request_id="q"), FILED)).hold == holds[0]
    await again.tending.close()
    assert journals(tmp_path) == []


async def test_the_slice_of_a_replica_that_is_gone_is_given_back_by_another(
    one: Desk, ledger: Ledger, tmp_path: Path
) -> None:
    other = desk(ledger, tmp_path / "elsewhere", "y", NOON)
    await other.after(15_001)
    for _ in range(30):
        await other.after(10_000)
    other.link.down = True
    with pytest.raises(BudgetStoreUnavailableError):
        await other.after(3 * AWAY_MS)  # an outage says nothing of who is gone
    other.link.down = False
    for _ in range(29):
        await other.after(10_000)
        assert (await day(ledger)).held == SLICE
    await other.after(10_000)
    assert (await day(ledger)).held == NOTHING


async def test_a_replica_that_lives_keeps_its_slice_through_a_long_outage(
    one: Desk, ledger: Ledger, tmp_path: Path
) -> None:
    other = desk(ledger, tmp_path / "elsewhere", "y", NOON)
    await other.tending.tend()
    one.link.down = other.link.down = True
    for each in (one, other):
        with pytest.raises(BudgetStoreUnavailableError):
            await each.after(600_000)
    one.link.down = other.link.down = False
    await other.after(1000)  # finds the lease of the first one lapsed, and waits
    assert (await day(ledger)).held == SLICE
    await one.after(1000)
    assert "a" in one.slices.open
    for _ in range(150):
        one.slices.used("a", one.time[0])
        await one.after(5000)
        await other.after(5000)
    assert (await day(ledger)).held == SLICE


async def test_a_replica_that_was_taken_for_dead_grants_nothing_from_what_it_lost(one: Desk, ledger: Ledger) -> None:
    first = one.slices.open["a"]
    one.link.down = True
    assert await one.granted()
    await ledger.give_back(*first.key, at_ms=NOON)
    await ledger.set_budget("a", limited(14), by="t", at_ms=NOON)
    one.link.down = False
    await one.after(AWAY_MS)
    hold = await ledger.find("n", "r")
    assert hold is not None
    assert hold.amount.tokens == 4  # what was free; the rest of the run is the operator's
    assert one.slices.open == {}
    totals = await day(ledger)
    assert totals.held.tokens + totals.charged.tokens == 14


async def test_a_stop_gives_everything_back(one: Desk, ledger: Ledger, tmp_path: Path) -> None:
    await one.tending.close()
    assert (await day(ledger)).held == NOTHING
    assert journals(tmp_path) == []


async def test_a_stop_while_the_ledger_is_down_leaves_the_journal(one: Desk, ledger: Ledger, tmp_path: Path) -> None:
    one.link.down = True
    assert await one.granted()
    await one.tending.close()
    (file,) = journals(tmp_path)
    assert list(read(file)) == [("n", "r")]


async def test_two_replicas_that_grant_the_same_run_charge_it_once(one: Desk, ledger: Ledger, tmp_path: Path) -> None:
    two = desk(ledger, tmp_path / "elsewhere", "y", NOON)
    await used(two, "second")
    await two.tending.tend()
    assert (await day(ledger)).held == SLICE + SLICE
    one.link.down = two.link.down = True
    assert await one.granted()
    assert await two.granted()
    one.link.down = two.link.down = False
    await one.after(5000)
    await two.after(5000)
    assert (await ledger.standing("a", FILED, NOON)).open_holds == 1
    assert (await day(ledger)).held == SLICE + SLICE + Amount(tokens=10, device_ms=100)


def test_a_line_that_a_crash_cut_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "x")
    made = Ask(tenant="a", name="n", run="r", amount=SLICE, at_ms=NOON, request_id="q", flags=("f",))
    journal.granted(Line(piece=("slices/x", "s"), ask=made))
    journal.close(keep=True)
    (file,) = tmp_path.iterdir()
    with file.open("ab") as out:
        out.write(b'\n{"piece": ["sli')
    assert read(file) == {("n", "r"): Line(piece=("slices/x", "s"), ask=made)}


def test_the_journal_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    first = Journal(tmp_path, "x")
    first.granted(Line(piece=("slices/x", "s"), ask=ask()))
    second = Journal(tmp_path, "y")
    assert second.left == {}
    first.close(keep=True)
    third = Journal(tmp_path, "z")
    assert list(third.left) == [("n", "r")]
    for journal in (second, third):
        journal.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_one_half_of_a_slice_is_no_setting() -> None:
    with pytest.raises(ValidationError, match="set both or neither"):
        Settings(degraded_tokens=5)
    assert Settings().degraded_tokens == 0
