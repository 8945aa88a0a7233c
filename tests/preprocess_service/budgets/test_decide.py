"""The arithmetic of windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.budgets import calendar, decide
from preprocess_service.budgets.core import (
    COUNTED,
    UNLIMITED,
    Allowance,
    Amount,
    Budget,
    Filed,
    Limit,
    Raise,
    Totals,
    Window,
)
from preprocess_service.budgets.windows import EMPTY, ByWindow, Windows

NOW = 1_764_043_000_000
SMALL = st.integers(min_value=0, max_value=50)
AMOUNTS = st.builds(Amount, tokens=SMALL, device_ms=SMALL)
TOTALS = st.builds(Totals, held=AMOUNTS, charged=AMOUNTS)
LIMITS = st.builds(
    Limit,
    window=st.sampled_from(Window),
    tokens=st.none() | SMALL,
    device_ms=st.none() | SMALL,
    soft=st.booleans(),
    carry_over=st.booleans(),
)
BUDGETS = st.builds(
    Budget,
    limits=st.lists(LIMITS, max_size=4, unique_by=lambda limit: limit.window).map(tuple),
    concurrent=st.none() | st.integers(0, 3),
)
BY_WINDOW = st.fixed_dictionaries(dict.fromkeys(COUNTED, TOTALS))


def allowance(*limits: Limit, raises: tuple[Raise, ...] = (), **fields: object) -> Allowance:
    return Allowance(budget=Budget(limits=limits, **fields), raises=raises)  # type: ignore[arg-type]


def around(now: ByWindow, before: ByWindow = EMPTY.now) -> Windows:
    return Windows(now=now, before=before, after={})


def asked(given: Allowance, tokens: int = 0, device_ms: int = 0, **totals: Totals) -> list[str]:
    """Subjects of the refusals."""
    by_window = {Window(name): value for name, value in totals.items()}
    amount = Amount(tokens=tokens, device_ms=device_ms)
    hard, _ = decide.refusals(amount, given, around(by_window), open_holds=0, at_ms=NOW)
    return [refusal.subject for refusal in hard]


def test_the_last_unit_is_granted_and_the_next_is_not() -> None:
    day = allowance(Limit(window=Window.DAY, tokens=10))
    used = Totals(held=Amount(tokens=4), charged=Amount(tokens=3))
    assert asked(day, tokens=3, day=used) == []
    assert asked(day, tokens=4, day=used) == ["day.tokens"]


def test_a_spent_currency_does_not_stop_what_takes_none_of_it() -> None:
    day = allowance(Limit(window=Window.DAY, tokens=10, device_ms=10))
    spent = Totals(charged=Amount(device_ms=10))
    assert asked(day, tokens=5, device_ms=0, day=spent) == []
    assert asked(day, tokens=5, device_ms=1, day=spent) == ["day.device_ms"]


def test_what_can_never_fit_says_so_and_comes_first() -> None:
    both = allowance(Limit(window=Window.MONTH, tokens=5), Limit(window=Window.MINUTE, tokens=100))
    hard, _ = decide.refusals(
        Amount(tokens=6),
        both,
        around({Window.MINUTE: Totals(held=Amount(tokens=100))}),
        open_holds=0,
        at_ms=NOW,
    )
    assert [(r.subject, r.never, r.reset_ms) for r in hard] == [
        ("month.tokens", True, None),
        ("minute.tokens", False, calendar.end(Window.MINUTE, NOW)),
    ]


def test_a_lowered_limit_makes_free_negative_and_admits_nothing() -> None:
    day = allowance(Limit(window=Window.DAY, tokens=5))
    hard, _ = decide.refusals(
        Amount(tokens=1), day, around({Window.DAY: Totals(charged=Amount(tokens=9))}), open_holds=0, at_ms=NOW
    )
    assert [(r.free, r.never) for r in hard] == [(-4, False)]


def test_a_raise_counts_until_it_expires_and_only_in_its_window() -> None:
    more = Raise(window=Window.DAY, amount=Amount(tokens=5), expires_ms=NOW + 1)
    day = allowance(Limit(window=Window.DAY, tokens=5), Limit(window=Window.MONTH, tokens=7), raises=(more,))
    found = decide.effective(day, Window.DAY, NOW)
    assert found is not None
    assert found.tokens == 10
    later = decide.effective(day, Window.DAY, NOW + 1)
    assert later is not None
    assert later.tokens == 5
    assert asked(day, tokens=8) == ["month.tokens"]


def test_what_is_left_is_carried_over_once_and_only_where_it_is_asked_for() -> None:
    before = Totals(held=Amount(tokens=1), charged=Amount(tokens=3))
    kept = decide.effective(allowance(Limit(window=Window.DAY, tokens=10, carry_over=True)), Window.DAY, NOW, before)
    plain = decide.effective(allowance(Limit(window=Window.DAY, tokens=10)), Window.DAY, NOW, before)
    assert kept is not None
    assert plain is not None
    assert (kept.tokens, plain.tokens) == (16, 10)


def test_soft_limits_warn_and_do_not_refuse() -> None:
    soft = allowance(Limit(window=Window.DAY, tokens=1, soft=True))
    assert decide.refusals(Amount(tokens=2), soft, EMPTY, open_holds=0, at_ms=NOW) == ((), ("soft:day.tokens",))


def test_open_runs_are_limited() -> None:
    two = allowance(concurrent=2)
    for open_holds, refused in ((1, False), (2, True)):
        hard, _ = decide.refusals(Amount(), two, EMPTY, open_holds=open_holds, at_ms=NOW)
        assert bool(hard) is refused


def test_a_tenants_own_budget_comes_before_everybodys_and_a_file_before_what_was_set() -> None:
    file, everybody, own, default = (Budget(concurrent=i) for i in range(4))

    def source(filed: Filed, *, own: Budget | None, default: Budget | None) -> str:
        found = decide.allowance(filed, own=own, default=default, raises=(), version=1)
        return found.source

    assert source(Filed(own=file, default=everybody), own=own, default=default) == "file"
    assert source(Filed(default=everybody), own=own, default=default) == "set"
    assert source(Filed(default=everybody), own=None, default=default) == "default_file"
    assert source(Filed(), own=None, default=default) == "default_set"
    assert decide.allowance(Filed(), own=None, default=None, raises=(), version=0).budget == UNLIMITED


@given(AMOUNTS, BUDGETS, BY_WINDOW, BY_WINDOW, st.integers(0, 4))
def test_what_is_granted_fits_every_hard_limit_and_what_is_refused_passes_one(
    amount: Amount, budget: Budget, totals: dict[Window, Totals], befores: dict[Window, Totals], open_holds: int
) -> None:
    given_ = Allowance(budget=budget)
    hard, _ = decide.refusals(amount, given_, around(totals, befores), open_holds=open_holds, at_ms=NOW)
    fits = budget.concurrent is None or open_holds < budget.concurrent
    for limit in budget.limits:
        most = decide.effective(given_, limit.window, NOW, befores.get(limit.window, Totals()))
        assert most is not None
        if limit.soft:
            continue
        used = totals.get(limit.window, Totals())
        for currency in decide.CURRENCIES:
            wanted, top = getattr(amount, currency), getattr(most, currency)
            taken = getattr(used.held, currency) + getattr(used.charged, currency)
            fits &= top is None or not wanted or taken + wanted <= top
    assert bool(hard) is not fits


@given(AMOUNTS, AMOUNTS, BUDGETS, BY_WINDOW, BY_WINDOW)
def test_a_hold_never_grows_past_what_is_free_nor_past_what_is_wanted(
    held: Amount, to: Amount, budget: Budget, totals: dict[Window, Totals], befores: dict[Window, Totals]
) -> None:
    given_ = Allowance(budget=budget)
    more = decide.growth(held, to, given_, around(totals, befores), at_ms=NOW, held_ms=NOW)
    assert min(more.tokens, more.device_ms) >= 0
    for currency in decide.CURRENCIES:
        assert getattr(more, currency) <= max(0, getattr(to, currency) - getattr(held, currency))
    for window in COUNTED:
        most = decide.effective(given_, window, NOW, befores[window])
        if most is None or most.soft:
            continue
        for currency in decide.CURRENCIES:
            top = getattr(most, currency)
            taken = getattr(totals[window].held, currency) + getattr(totals[window].charged, currency)
            assert top is None or not getattr(more, currency) or taken + getattr(more, currency) <= top


CARRIED = allowance(Limit(window=Window.DAY, tokens=10, carry_over=True))
TOMORROW = calendar.end(Window.DAY, NOW)
THE_DAY_AFTER = calendar.end(Window.DAY, TOMORROW)


def spent(tokens: int) -> ByWindow:
    return {Window.DAY: Totals(charged=Amount(tokens=tokens))}


@pytest.mark.parametrize(
    ("tokens", "today", "yesterday", "fits"),
    [
        (11, 0, 10, TOMORROW),  # nothing is carried over today, and all of today is tomorrow
        (15, 5, 10, TOMORROW),
        (15, 6, 10, THE_DAY_AFTER),
        (15, 20, 0, THE_DAY_AFTER),
        (20, 1, 10, THE_DAY_AFTER),
        (21, 0, 10, None),
        (21, 0, 0, None),
    ],
)
def test_what_fits_with_what_a_day_leaves_over_may_come_that_day(
    tokens: int, today: int, yesterday: int, fits: int | None
) -> None:
    windows = around(spent(today), spent(yesterday))
    hard, _ = decide.refusals(Amount(tokens=tokens), CARRIED, windows, open_holds=0, at_ms=NOW)
    assert [(each.never, each.reset_ms) for each in hard] == [(fits is None, fits)]


@pytest.mark.parametrize(
    ("used", "expires_ms", "fits"),
    [
        (Totals(charged=Amount(tokens=8)), TOMORROW, (True, None)),
        (Totals(charged=Amount(tokens=8)), TOMORROW + 1, (False, TOMORROW)),
        (Totals(held=Amount(tokens=8)), TOMORROW, (False, TOMORROW)),  # what is held may be given back
    ],
)
def test_what_fits_only_with_a_raise_never_does_once_that_is_over(
    used: Totals, expires_ms: int, fits: tuple[bool, int | None]
) -> None:
    more = Raise(window=Window.DAY, amount=Amount(tokens=5), expires_ms=expires_ms)
    day = allowance(Limit(window=Window.DAY, tokens=10), raises=(more,))
    hard, _ = decide.refusals(Amount(tokens=12), day, around({Window.DAY: used}), open_holds=0, at_ms=NOW)
    assert [(each.never, each.reset_ms) for each in hard] == [fits]
