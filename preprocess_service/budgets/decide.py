"""Is there room? Pure arithmetic over a budget and the totals of its windows; every ledger decides by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import calendar
from .core import (
    COUNTED,
    MOST,
    NOTHING,
    UNLIMITED,
    Allowance,
    Amount,
    Budget,
    Filed,
    Limit,
    Raise,
    Refusal,
    Totals,
    Window,
)
from .windows import ByWindow, Windows

CURRENCIES = ("tokens", "device_ms")
ZERO = Totals()
ANY = Amount(tokens=MOST, device_ms=MOST)


def allowance(
    filed: Filed, *, own: Budget | None, default: Budget | None, raises: tuple[Raise, ...], version: int
) -> Allowance:
    """Whose budget counts: the tenant's own before everybody's, and in each the operator's file before what was set."""
    order = (("file", filed.own), ("set", own), ("default_file", filed.default), ("default_set", default))
    source, budget = next(((name, found) for name, found in order if found is not None), ("none", UNLIMITED))
    return Allowance(budget=budget, raises=raises, source=source, version=version)


def effective(given: Allowance, window: Window, at_ms: int, before: Totals = ZERO) -> Limit | None:
    """The limit with what was raised and what the window before, with ``before`` in it, left over. None: there is none."""
    limit = given.budget.of(window)
    if limit is None:
        return None
    more = NOTHING
    for extra in given.raises:
        if extra.window is window and extra.expires_ms > at_ms:
            more += extra.amount
    if limit.carry_over and window in COUNTED:
        more += _left(limit, before)
    return Limit(
        window=window,
        tokens=None if limit.tokens is None else min(MOST, limit.tokens + more.tokens),
        device_ms=None if limit.device_ms is None else min(MOST, limit.device_ms + more.device_ms),
        soft=limit.soft,
        carry_over=limit.carry_over,
    )


def refusals(
    asked: Amount,
    given: Allowance,
    windows: Windows,
    *,
    open_holds: int,
    at_ms: int,
) -> tuple[tuple[Refusal, ...], tuple[str, ...]]:
    """Why ``asked`` has no room under hard limits, what waiting helps least first; and "soft:<subject>" of those it passes. One that comes
    late, into a window whose room may have been taken over by the next, finds none."""
    hard: list[Refusal] = []
    soft: list[str] = []
    for window in Window:
        limit = effective(given, window, at_ms, windows.before.get(window, ZERO))
        if limit is None:
            continue
        given_on = _given_on(given.budget.of(window), windows.after)
        over = list(_over(asked, given, limit, windows.now.get(window, ZERO), at_ms, given_on))
        if limit.soft:
            soft += [f"soft:{refusal.subject}" for refusal in over]
        else:
            hard += over
    hard += _crowd(given.budget.concurrent, open_holds)
    hard.sort(key=lambda refusal: (not refusal.never, -(refusal.reset_ms or 0)))
    return tuple(hard), tuple(soft)


def growth(
    held: Amount,
    to: Amount,
    given: Allowance,
    windows: Windows,
    *,
    at_ms: int,
    held_ms: int,
) -> Amount:
    """By how much an open hold of ``held_ms`` may grow towards ``to``: what is free in the windows of its reservation (which ``windows``
    are around), and what one request may have. Never negative. Shadow mode and soft limits bind nothing.

    A window that has ended and is carried over has nothing left: what was free in it is the next one's by now.
    """
    more = {currency: max(0, getattr(to, currency) - getattr(held, currency)) for currency in CURRENCIES}
    for window in Window:
        limit = effective(given, window, at_ms, windows.before.get(window, ZERO))
        if limit is None or limit.soft or given.budget.shadow:
            continue
        used = windows.now.get(window, ZERO)
        ended = limit.carry_over and window in COUNTED and calendar.end(window, held_ms) <= at_ms
        given_on = _given_on(given.budget.of(window), windows.after)
        for currency in CURRENCIES:
            most: int | None = getattr(limit, currency)
            if most is None:
                continue
            if ended:
                more[currency] = 0
                continue
            most = min(most, getattr(given_on, currency))
            taken = (
                getattr(used.held, currency) + getattr(used.charged, currency)
                if window in COUNTED
                else getattr(held, currency)
            )
            more[currency] = min(more[currency], max(0, most - taken))
    return Amount(tokens=more["tokens"], device_ms=more["device_ms"])


def slice_of(
    wanted: Amount,
    given: Allowance,
    windows: Windows,
    *,
    at_ms: int,
) -> Amount:
    """What is free of ``wanted`` for a slice; nothing where one of the two is spent. What one request may have does not bind it."""
    limits = tuple(limit for limit in given.budget.limits if limit.window in COUNTED)
    counted = replace(given, budget=replace(given.budget, limits=limits))
    free = growth(NOTHING, wanted, counted, windows, at_ms=at_ms, held_ms=at_ms)
    spent = any(getattr(wanted, currency) and not getattr(free, currency) for currency in CURRENCIES)
    return NOTHING if spent else free


def least(one: Amount, other: Amount) -> Amount:
    """Of each currency the smaller."""
    return Amount(tokens=min(one.tokens, other.tokens), device_ms=min(one.device_ms, other.device_ms))


def _crowd(most: int | None, open_holds: int) -> list[Refusal]:
    if most is None or open_holds < most:
        return []
    free = most - open_holds
    return [Refusal(window=Window.REQUEST, subject="concurrent", asked=1, limit=most, free=free, never=most == 0)]


def _left(limit: Limit, before: Totals) -> Amount:
    used = before.held + before.charged
    return Amount(
        tokens=max(0, limit.tokens - used.tokens) if limit.tokens is not None else 0,
        device_ms=max(0, limit.device_ms - used.device_ms) if limit.device_ms is not None else 0,
    )


def _given_on(own: Limit | None, afters: ByWindow) -> Amount:
    """The most that may be used of a window with the limit ``own``, nothing carried over counted, once the next one was decided by what
    this one had left: clocks of replicas differ, and whoever waited for the books brings the time of before. No bound where the next one
    took nothing over."""
    if own is None or not own.carry_over or own.window not in COUNTED:
        return ANY
    after = afters.get(own.window, ZERO)
    used, found = after.held + after.charged, {}
    for currency in CURRENCIES:
        limit: int | None = getattr(own, currency)
        taken = 0 if limit is None else getattr(used, currency) - limit
        found[currency] = MOST if limit is None or taken <= 0 else max(0, limit - taken)
    return Amount(**found)


def _over(
    asked: Amount, given: Allowance, limit: Limit, used: Totals, at_ms: int, given_on: Amount
) -> Iterator[Refusal]:
    counted = limit.window in COUNTED
    for currency in CURRENCIES:
        most: int | None = getattr(limit, currency)
        wanted: int = getattr(asked, currency)
        # What takes nothing of a currency is not stopped by it, however much of it is spent.
        if most is None or not wanted:
            continue
        room = min(most, getattr(given_on, currency))
        free = room - (getattr(used.held, currency) + getattr(used.charged, currency) if counted else 0)
        if wanted > free:
            fits_ms = _fits(wanted, currency, given, limit.window, used, at_ms) if counted else None
            # What is held may be given back, what is charged may not.
            never = fits_ms is None and wanted > most - (getattr(used.charged, currency) if counted else 0)
            yield Refusal(
                window=limit.window,
                subject=f"{limit.window}.{currency}",
                asked=wanted,
                limit=most,
                free=free,
                never=never,
                reset_ms=(fits_ms or calendar.end(limit.window, at_ms)) if counted and not never else None,
            )


def _fits(wanted: int, currency: str, given: Allowance, window: Window, used: Totals, at_ms: int) -> int | None:
    """When the first window begins that ``wanted`` fits if all goes well: raises expire, and what is carried over goes no further than the
    next window, so after two of them nothing changes for the better."""
    following = calendar.end(window, at_ms)
    for start_ms, before in ((following, Totals(charged=used.charged)), (calendar.end(window, following), ZERO)):
        most = getattr(effective(given, window, start_ms, before), currency)
        if most is None or wanted <= most:
            return start_ms
    return None
