"""What a policy would have done: against answers worked out by hand, and against the ledger in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service.budgets.calendar import DAY_MS, MINUTE_MS
from preprocess_service.budgets.core import (
    UNLIMITED,
    Amount,
    Ask,
    Bill,
    Budget,
    Cause,
    Filed,
    Limit,
    Price,
    Window,
)
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.budgets.simulator import Report, replay, warm_from

from .stores import JANUARY, entry

FROM, TO = JANUARY, JANUARY + 31 * DAY_MS


def reserve(name: str, at: int, tokens: int, ms: int = 0, tenant: str = "acme") -> dict[str, Any]:
    at += JANUARY
    return entry(
        tenant=tenant, name=name, kind="reserve", cause="", at_ms=at, reserved_ms=at, held_tokens=tokens, held_ms=ms
    )


def settle(name: str, at: int, tokens: int, ms: int = 0, over: int = 0, cause: str = "done") -> dict[str, Any]:
    kind = "settle" if cause in ("done", "stored", "cancelled", "content") else "release"
    return entry(
        name=name, kind=kind, cause=cause, at_ms=JANUARY + at, charged_tokens=tokens, charged_ms=ms, overrun_ms=over
    )


def of(budget: Budget, *rows: dict[str, Any], from_ms: int = FROM, to_ms: int = TO) -> Report:
    (report,) = replay(rows, budget, from_ms=from_ms, to_ms=to_ms)
    return report


def tokens(window: Window, most: int, **more: Any) -> Budget:
    return Budget(limits=(Limit(window=window, tokens=most, **more),))


def test_a_day_worked_out_by_hand() -> None:
    # At most 100 tokens a day. a: 60 held, 60 used. b: 60 do not fit into 40. c: 40 do, and are given back as the run failed.
    # d: 40 do again. The next day, e: 10 of 100.
    rows = [
        reserve("a", 0, 60),
        settle("a", 10, 60),
        reserve("b", 20, 60, 700),
        settle("b", 30, 60, 500),
        reserve("c", 40, 40),
        settle("c", 50, 0, cause="failed"),
        reserve("d", 60, 40),
        settle("d", 70, 40),
        reserve("e", DAY_MS, 10),
    ]
    report = of(tokens(Window.DAY, 100), *rows)
    assert (report.reserved, report.asked) == (5, Amount(tokens=210, device_ms=700))
    assert (report.refused, report.refused_amount) == (1, Amount(tokens=60, device_ms=700))
    assert (report.first_ms, report.by_subject) == (JANUARY + 20, {"day.tokens": 1})
    day = report.uses["day.tokens"]
    # 100 of 100 on the first day (headroom 0), 10 of 100 on the second (90).
    assert (day.peak, day.worst, day.mean) == (100, 0, 45)
    assert report.uses["request.tokens"].peak == 60
    assert report.uses["month.tokens"].worst is None


def test_device_time_grows_while_there_is_room_and_the_rest_is_nobodys() -> None:
    budget = Budget(limits=(Limit(window=Window.MINUTE, device_ms=1000),))
    # Held 400; 900 were due and measured 1100: the hold grows to 1000 and no further.
    rows = [reserve("a", 0, 1, 400), settle("a", 5, 1, 900, over=200), reserve("b", 6, 1, 1)]
    report = of(budget, *rows)
    assert report.by_subject == {"minute.device_ms": 1}
    assert report.uses["minute.device_ms"].peak == 1000


def test_runs_that_are_open_at_once_are_counted() -> None:
    rows = [reserve("a", 0, 1), reserve("b", 1, 1), settle("a", 2, 1), reserve("c", 3, 1)]
    assert of(Budget(concurrent=1), *rows).by_subject == {"concurrent": 1}


def test_shadow_mode_counts_and_goes_on_and_soft_limits_only_warn() -> None:
    rows = [reserve("a", 0, 80), reserve("b", 1, 80), reserve("c", 2, 80)]
    shadowed = of(replace(tokens(Window.DAY, 100), shadow=True), *rows)
    assert (shadowed.refused, shadowed.uses["day.tokens"].worst) == (2, -140)
    soft = of(tokens(Window.DAY, 100, soft=True), *rows)
    assert (soft.refused, soft.soft) == (0, {"day.tokens": 2})


def test_what_was_left_of_the_window_before_is_carried_over() -> None:
    rows = [reserve("a", 0, 30), settle("a", 1, 30), reserve("b", DAY_MS, 170), reserve("c", 2 * DAY_MS, 100)]
    carrying = of(tokens(Window.DAY, 100, carry_over=True), *rows)
    assert (carrying.refused, carrying.uses["day.tokens"].worst) == (0, 0)
    assert of(tokens(Window.DAY, 100), *rows).refused == 1


def test_what_came_before_the_period_fills_its_windows_and_is_not_reported() -> None:
    rows = [reserve("a", 0, 80), settle("a", 1, 80), reserve("b", 100, 30)]
    report = of(tokens(Window.MONTH, 100), *rows, from_ms=JANUARY + 50)
    assert (report.reserved, report.refused) == (1, 1)
    assert warm_from(JANUARY + 15 * DAY_MS) == JANUARY - 31 * DAY_MS
    assert replay(rows, UNLIMITED, from_ms=JANUARY + 200, to_ms=TO) == []


def test_tenants_do_not_share_a_budget() -> None:
    rows = [reserve("a", 0, 80), reserve("b", 0, 80, tenant="zeta"), reserve("c", 1, 80, tenant="zeta")]
    reports = replay(rows, tokens(Window.DAY, 100), from_ms=FROM, to_ms=TO)
    assert [(r.tenant, r.refused) for r in reports] == [("acme", 0), ("zeta", 1)]


step = st.tuples(
    st.integers(0, 12),  # Which run.
    st.integers(0, 2 * DAY_MS // 3),  # How much later.
    st.integers(0, 50),
    st.integers(0, 500),
    st.sampled_from(["done", "failed", "cancelled", "stored"]),
)
amounts = st.none() | st.integers(0, 200)
budgets = st.builds(
    lambda limits, concurrent: Budget(limits=tuple(limits), concurrent=concurrent),
    st.lists(
        st.builds(
            Limit,
            window=st.sampled_from([Window.REQUEST, Window.MINUTE, Window.DAY, Window.MONTH]),
            tokens=amounts,
            device_ms=st.none() | st.integers(0, 2000),
            soft=st.booleans(),
            carry_over=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda limit: limit.window,
    ),
    st.none() | st.integers(0, 4),
)


def history(steps: list[tuple[int, int, int, int, str]]) -> list[dict[str, Any]]:
    """Entries of a ledger without limits: a run's first step reserves, its second settles; then another run has its number."""
    at, rows, held, numbers = 0, [], dict[int, tuple[str, int, int]](), 0
    for run, later, some, ms, cause in steps:
        at += later
        if run not in held:
            numbers += 1
            held[run] = (f"v{numbers}", some, ms)
            rows.append(reserve(f"v{numbers}", at, some, ms))
            continue
        name, most, _ = held.pop(run)
        charged = cause != "failed"
        rows.append(settle(name, at, most * charged, ms * (cause not in ("failed", "stored")), cause=cause))
    return rows


@settings(max_examples=200, deadline=None)
@given(st.lists(step, max_size=60))
def test_an_unlimited_policy_refuses_nothing_and_one_at_the_peak_has_no_headroom(steps: list[Any]) -> None:
    rows = history(steps)
    end = JANUARY + 400 * DAY_MS
    for report in replay(rows, UNLIMITED, from_ms=FROM, to_ms=end):
        assert report.refused == 0
        assert all(use.worst is None for use in report.uses.values())
        for window in Window:
            for currency in ("tokens", "device_ms"):
                subject = f"{window}.{currency}"
                peak = report.uses[subject].peak
                same = of(Budget(limits=(Limit(window=window, **{currency: peak}),)), *rows, to_ms=end)
                assert (same.refused, same.uses[subject].worst) == (0, 0)
                if peak > 0:
                    less = of(Budget(limits=(Limit(window=window, **{currency: peak - 1}),)), *rows, to_ms=end)
                    assert less.refused > 0 or less.uses[subject].peak < peak


@settings(max_examples=300, deadline=None)
@given(st.lists(step, max_size=60), budgets)
def test_it_refuses_whom_the_ledger_in_memory_refuses(steps: list[Any], budget: Budget) -> None:
    rows = history(steps)

    async def by_ledger() -> tuple[int, dict[tuple[Window, int], Amount]]:
        ledger, refused, filed = MemoryLedger(), 0, Filed(own=budget)
        for row in rows:
            if row["kind"] == "reserve":
                amount = Amount(tokens=row["held_tokens"], device_ms=row["held_ms"])
                ask = Ask(tenant="acme", name=row["name"], run=row["run"], amount=amount, at_ms=row["reserved_ms"])
                refused += (await ledger.reserve(ask, filed)).hold is None
            else:
                due = Amount(tokens=row["charged_tokens"], device_ms=row["charged_ms"])
                bill = Bill(cause=Cause(row["cause"]), due=due, measured=due)
                await ledger.settle(row["name"], row["run"], bill, Price(), filed, row["at_ms"])
        return refused, {(slot[1], slot[2]): totals.held + totals.charged for slot, totals in ledger.totals.items()}

    refused, totals = asyncio.run(by_ledger())
    for report in replay(rows, budget, from_ms=FROM, to_ms=JANUARY + 400 * DAY_MS):
        assert report.refused == refused
        for (window, start), used in totals.items():
            assert report.uses[f"{window}.tokens"].peaks[start] >= used.tokens


def test_the_same_entries_give_the_same_report() -> None:
    rows = [reserve("a", 0, 60), reserve("b", MINUTE_MS, 60), settle("a", MINUTE_MS + 1, 60)]
    assert of(tokens(Window.DAY, 100), *rows) == of(tokens(Window.DAY, 100), *rows)
