"""Between the contract's messages and the values of budgets."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.preprocess.v1 import preprocess_pb2 as pb

from . import calendar, decide
from .core import (
    COUNTED,
    Allowance,
    Amount,
    Budget,
    Decision,
    Limit,
    Price,
    Raise,
    Settled,
    Standing,
    State,
    Totals,
    Window,
)
from .prices import NONE
from .refusing import reason_of


def stamp(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def verdict_of(decision: Decision, flags: Sequence[str] = ()) -> pb.BudgetVerdict:
    """What the ledger said, as the client reads it."""
    warnings = [*decision.warnings, *(f"abnormal:{flag}" for flag in flags)]
    held = decision.hold.amount if decision.hold and decision.hold.state is State.OPEN else Amount()
    if decision.hold is not None:
        warnings += [f"shadow:{reason_of(refusal)}" for refusal in decision.refusals]
        return pb.BudgetVerdict(
            allowed=True,
            warnings=list(dict.fromkeys(warnings)),
            held_tokens=held.tokens,
            held_device_ms=held.device_ms,
        )
    first = decision.refusals[0]
    verdict = pb.BudgetVerdict(
        reason=reason_of(first), warnings=list(dict.fromkeys(warnings)), window=first.subject.rpartition(".")[0]
    )
    if first.reset_ms is not None:
        verdict.reset_time.CopyFrom(stamp(first.reset_ms))
    return verdict


def is_set(price: Price) -> bool:
    """Whether there is a price at all."""
    return price.version not in ("", NONE.version)


def money(price: Price, amount: Amount) -> pb.Money | None:
    """What ``amount`` costs; None where no price is set."""
    if not is_set(price):
        return None
    micros = price.tokens(amount.tokens) + price.device(amount.device_ms)
    return pb.Money(micros=micros, currency=price.currency, price_version=price.version)


def bill_of(ended: Settled) -> pb.Bill:
    """How a hold ended."""
    return pb.Bill(
        tokens=ended.charged.tokens,
        device_ms=ended.charged.device_ms,
        overrun_device_ms=ended.overrun.device_ms,
        cause=ended.hold.cause or "",
        price=money(ended.price, ended.charged),
    )


def budget_of(message: pb.Budget) -> Budget:
    """A budget whose fields were checked (rules.py)."""
    return Budget(
        limits=tuple(
            Limit(
                window=Window(limit.window),
                tokens=limit.tokens if limit.HasField("tokens") else None,
                device_ms=limit.device_ms if limit.HasField("device_ms") else None,
                soft=limit.soft,
                carry_over=limit.carry_over,
            )
            for limit in message.limits
        ),
        shadow=message.shadow,
        concurrent=message.concurrent if message.HasField("concurrent") else None,
        throttle=message.abnormal == "throttle",
    )


def raise_of(message: pb.BudgetRaise) -> Raise:
    return Raise(
        window=Window(message.window),
        amount=Amount(tokens=message.tokens, device_ms=message.device_ms),
        expires_ms=message.expire_time.ToMilliseconds(),
        note=message.note,
    )


def standing_of(standing: Standing, abnormal: Sequence[str] = ()) -> pb.GetBudgetResponse:
    """A tenant's budget as it stands."""
    given, at = standing.allowance, standing.at_ms
    limits = {w: decide.effective(given, w, at, standing.befores.get(w, Totals())) for w in Window}
    shown = [w for w in Window if w in COUNTED or limits[w] is not None]
    return pb.GetBudgetResponse(
        tenant=standing.tenant,
        windows=[_window(w, limits[w], standing.totals.get(w, Totals()), at) for w in shown],
        budget=_budget(given.budget),
        source=given.source,
        version=given.version,
        raises=[_raise(each) for each in _valid(given, at)],
        open_runs=standing.open_holds,
        abnormal=abnormal,
    )


def _valid(given: Allowance, at_ms: int) -> list[Raise]:
    return [each for each in given.raises if each.expires_ms > at_ms]


def _budget(budget: Budget) -> pb.Budget:
    return pb.Budget(
        limits=[_limit(limit) for limit in budget.limits],
        shadow=budget.shadow,
        concurrent=budget.concurrent,
        abnormal="throttle" if budget.throttle else "flag",
    )


def _limit(limit: Limit) -> pb.BudgetLimit:
    return pb.BudgetLimit(
        window=limit.window,
        tokens=limit.tokens,
        device_ms=limit.device_ms,
        soft=limit.soft,
        carry_over=limit.carry_over,
    )


def _raise(each: Raise) -> pb.BudgetRaise:
    return pb.BudgetRaise(
        window=each.window,
        tokens=each.amount.tokens,
        device_ms=each.amount.device_ms,
        expire_time=stamp(each.expires_ms),
        note=each.note,
    )


def _window(window: Window, limit: Limit | None, totals: Totals, at_ms: int) -> pb.BudgetState:
    state = pb.BudgetState(
        limit=_limit(limit or Limit(window=window)),
        charged_tokens=totals.charged.tokens,
        held_tokens=totals.held.tokens,
        charged_device_ms=totals.charged.device_ms,
        held_device_ms=totals.held.device_ms,
        overrun_device_ms=totals.overrun.device_ms,
    )
    if window in COUNTED:
        state.reset_time.CopyFrom(stamp(calendar.end(window, at_ms)))
    if limit is not None and limit.tokens is not None:
        state.free_tokens = limit.tokens - totals.held.tokens - totals.charged.tokens
    if limit is not None and limit.device_ms is not None:
        state.free_device_ms = limit.device_ms - totals.held.device_ms - totals.charged.device_ms
    return state
