"""What if this had been the budget? Replays reservations and settlements out of the ledger under another policy.

By the same arithmetic as the ledgers (decide.py, calendar.py). What the ledger cannot know stays out: requests that were refused then
have no entry; and clients would have behaved otherwise after a refusal (waited, retried, sent shorter prompts). Raises are left out:
they are for one occasion, a policy is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import calendar, decide
from .core import (
    CHARGED,
    COUNTED,
    NOTHING,
    Allowance,
    Amount,
    Budget,
    Cause,
    Kind,
    Limit,
    Refusal,
    Totals,
    Window,
)
from .decide import CURRENCIES
from .windows import Windows

KINDS: Final = (Kind.RESERVE, Kind.EXTEND, Kind.SETTLE, Kind.RELEASE)
Slot = tuple[Window, int]
"""A window and when it began."""


@dataclass(kw_only=True, slots=True)
class Use:
    """Of one window and currency ("day.tokens"), over all its windows in which something was reserved. ``peaks``: the most that was
    held and charged at once in each. ``rooms``: the least that was free in each; empty where there is no limit."""

    peaks: dict[int, int] = field(default_factory=dict)
    rooms: dict[int, int] = field(default_factory=dict)

    @property
    def peak(self) -> int:
        return max(self.peaks.values())

    @property
    def worst(self) -> int | None:
        """The least headroom of any window; None without a limit. Negative under soft limits and shadow mode."""
        return min(self.rooms.values()) if self.rooms else None

    @property
    def mean(self) -> int | None:
        """Of the windows' least headroom, rounded down."""
        return sum(self.rooms.values()) // len(self.rooms) if self.rooms else None


@dataclass(kw_only=True, slots=True)
class Report:
    """Of one tenant, of what was reserved within the period. ``by_subject``: refusals by what had no room first, e.g. "day.tokens"."""

    tenant: str
    reserved: int = 0
    asked: Amount = NOTHING
    refused: int = 0
    refused_amount: Amount = NOTHING
    first_ms: int | None = None
    by_subject: dict[str, int] = field(default_factory=dict)
    soft: dict[str, int] = field(default_factory=dict)
    uses: dict[str, Use] = field(default_factory=dict)

    def refuse(self, refusals: tuple[Refusal, ...], amount: Amount, at_ms: int) -> None:
        self.refused += 1
        self.refused_amount += amount
        self.first_ms = at_ms if self.first_ms is None else self.first_ms
        subject = refusals[0].subject
        self.by_subject[subject] = self.by_subject.get(subject, 0) + 1


@dataclass(kw_only=True, slots=True)
class _Hold:
    """``number``: a request is a window of its own, this stands for when it began."""

    number: int
    at_ms: int
    amount: Amount
    begins: dict[Window, int]
    before: dict[Window, int]
    after: dict[Window, int]


def _hold(number: int, amount: Amount, at_ms: int) -> _Hold:
    moments = (calendar.start, calendar.before, calendar.end)
    begins, before, after = ({window: moment(window, at_ms) for window in COUNTED} for moment in moments)
    return _Hold(number=number, at_ms=at_ms, amount=amount, begins=begins, before=before, after=after)


class Replay:
    """One tenant's entries, in the order of their numbers. What is reserved before ``from_ms`` is replayed and not reported: it is what
    the windows had in them."""

    def __init__(self, tenant: str, budget: Budget, *, from_ms: int, to_ms: int) -> None:
        self.report = Report(tenant=tenant)
        self._given = Allowance(budget=budget, source="proposed")
        self._from_ms, self._to_ms = from_ms, to_ms
        self._holds: dict[tuple[str, str], _Hold] = {}
        self._totals: dict[Slot, Totals] = {}
        self._number = 0

    def take(self, entry: Mapping[str, Any]) -> None:
        """A row of `schema.entries`."""
        kind, key = Kind(entry["kind"]), (entry["name"], entry["run"])
        if kind is Kind.RESERVE:
            self._reserve(key, Amount(tokens=entry["held_tokens"], device_ms=entry["held_ms"]), entry["reserved_ms"])
            return
        hold = self._holds.get(key)
        if hold is None:  # Refused here, or reserved before all that is replayed.
            return
        if kind is Kind.EXTEND:
            more = Amount(tokens=entry["held_tokens"], device_ms=entry["held_ms"])
            self._grow(hold, hold.amount + more, entry["at_ms"])
        elif kind in (Kind.SETTLE, Kind.RELEASE):
            self._settle(self._holds.pop(key), _due(entry), entry["at_ms"])

    def _reserve(self, key: tuple[str, str], asked: Amount, at_ms: int) -> None:
        reported = self._from_ms <= at_ms < self._to_ms
        self._number += 1
        hold = _hold(self._number, asked, at_ms)
        windows = self._windows(hold)
        hard, soft = decide.refusals(asked, self._given, windows, open_holds=len(self._holds), at_ms=at_ms)
        if reported:
            self.report.reserved += 1
            self.report.asked += asked
            for warning in soft:
                subject = warning.removeprefix("soft:")
                self.report.soft[subject] = self.report.soft.get(subject, 0) + 1
            if hard:
                self.report.refuse(hard, asked, at_ms)
        if hard and not self._given.budget.shadow:
            return
        self._holds[key] = hold
        self._book(hold, held=asked, at_ms=at_ms)

    def _grow(self, hold: _Hold, to: Amount, at_ms: int) -> None:
        windows = self._windows(hold)
        more = decide.growth(hold.amount, to, self._given, windows, at_ms=at_ms, held_ms=hold.at_ms)
        hold.amount += more
        self._book(hold, held=more, at_ms=at_ms)

    def _settle(self, hold: _Hold, due: Amount, at_ms: int) -> None:
        self._grow(hold, due, at_ms)
        charged = Amount(
            tokens=min(due.tokens, hold.amount.tokens), device_ms=min(due.device_ms, hold.amount.device_ms)
        )
        self._book(hold, held=NOTHING - hold.amount, charged=charged, at_ms=at_ms)

    def _book(self, hold: _Hold, *, held: Amount, at_ms: int, charged: Amount = NOTHING) -> None:
        for slot in hold.begins.items():
            was = self._totals.get(slot, Totals())
            self._totals[slot] = Totals(held=was.held + held, charged=was.charged + charged)
        if self._from_ms <= hold.at_ms < self._to_ms:
            self._note(hold, at_ms)

    def _note(self, hold: _Hold, at_ms: int) -> None:
        """How full each window is now, and what is left of it."""
        befores = self._totals_of(hold.before)
        for window, totals in self._totals_of(hold.begins).items():
            self._note_one(window, hold.begins[window], totals.held + totals.charged, befores, at_ms)
        self._note_one(Window.REQUEST, hold.number, hold.amount, befores, at_ms)

    def _note_one(
        self, window: Window, start_ms: int, used: Amount, befores: Mapping[Window, Totals], at_ms: int
    ) -> None:
        limit = decide.effective(self._given, window, at_ms, befores.get(window, Totals()))
        for currency in CURRENCIES:
            use = self.report.uses.setdefault(f"{window}.{currency}", Use())
            taken: int = getattr(used, currency)
            use.peaks[start_ms] = max(use.peaks.get(start_ms, 0), taken)
            if limit is not None and (most := _most(limit, currency)) is not None:
                use.rooms[start_ms] = min(use.rooms.get(start_ms, most - taken), most - taken)

    def _windows(self, hold: _Hold) -> Windows:
        return Windows(
            now=self._totals_of(hold.begins), before=self._totals_of(hold.before), after=self._totals_of(hold.after)
        )

    def _totals_of(self, begins: Mapping[Window, int]) -> dict[Window, Totals]:
        return {slot[0]: self._totals.get(slot, Totals()) for slot in begins.items()}


def _most(limit: Limit, currency: str) -> int | None:
    most: int | None = getattr(limit, currency)
    return most


def _due(entry: Mapping[str, Any]) -> Amount:
    """What the bill asked for: for causes that are charged all that was measured, whatever the hold of then let through."""
    if Cause(entry["cause"]) not in CHARGED:
        return NOTHING
    return Amount(
        tokens=entry["charged_tokens"] + entry["overrun_tokens"], device_ms=entry["charged_ms"] + entry["overrun_ms"]
    )


def replay(entries: Iterable[Mapping[str, Any]], budget: Budget, *, from_ms: int, to_ms: int) -> list[Report]:
    """``entries`` of the kinds in `KINDS`, of one tenant after the other, each by number. Reports of tenants that reserved something
    within [from_ms, to_ms)."""
    found: dict[str, Replay] = {}
    for entry in entries:
        tenant = entry["tenant"]
        if tenant not in found:
            found[tenant] = Replay(tenant, budget, from_ms=from_ms, to_ms=to_ms)
        found[tenant].take(entry)
    return [each.report for each in found.values() if each.report.reserved]


def warm_from(from_ms: int) -> int:
    """From where entries are to be replayed, so that every window that counts at ``from_ms`` has in it what it had: the beginning of
    the month before, whose rest may be carried over."""
    return calendar.before(Window.MONTH, from_ms)
