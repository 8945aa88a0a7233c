"""Values to rows and back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from .core import (
    CHARGED,
    NOTHING,
    Amount,
    Bill,
    Budget,
    Cause,
    Decision,
    Hold,
    Kind,
    Limit,
    Price,
    Raise,
    Settled,
    State,
    Totals,
    Window,
)
from .schema import entries, usage

Params = dict[str, Any]

ENTRY: Params = {c.name: 0 if c.type.python_type is int else "" for c in entries.c}
USAGE: Params = {c.name: 0 for c in usage.c if not c.primary_key}
HOUR_MS = 3_600_000
OUTCOMES = {Cause.DONE: "done", Cause.CONTENT: "done", Cause.STORED: "stored"} | {
    Cause.CANCELLED: "cancelled",
    Cause.FAILED: "failed",
}
"""The column of `usage` that counts it; the others are in ``requests`` alone."""


def hold_of(row: Row[Any]) -> Hold:
    return Hold(
        tenant=row.tenant,
        name=row.name,
        run=row.run,
        amount=Amount(tokens=row.tokens, device_ms=row.device_ms),
        at_ms=row.at_ms,
        state=State(row.state),
        cause=Cause(row.cause) if row.cause else None,
        request_id=row.request_id,
        tier=row.tier,
        policy=row.policy,
        tokens_saved=row.tokens_saved,
        prepare_us=row.prepare_us,
    )


def settled_of(row: Row[Any]) -> Settled:
    """How it ended, once more; of its price only the version is kept with a hold (the entry has the money)."""
    charged = Amount(tokens=row.charged_tokens, device_ms=row.charged_ms)
    measured = Amount(tokens=row.measured_tokens, device_ms=row.measured_ms)
    return Settled(
        hold=hold_of(row),
        charged=charged,
        measured=measured,
        overrun=measured - charged,
        price=Price(version=row.price_version),
        fresh=False,
    )


def hold_row(hold: Hold) -> Params:
    return {
        "tenant": hold.tenant,
        "name": hold.name,
        "run": hold.run,
        "request_id": hold.request_id,
        "tier": hold.tier,
        "policy": hold.policy,
        "state": hold.state.value,
        "tokens": hold.amount.tokens,
        "device_ms": hold.amount.device_ms,
        "at_ms": hold.at_ms,
        "tokens_saved": hold.tokens_saved,
        "prepare_us": hold.prepare_us,
    }


def totals_of(row: Row[Any]) -> Totals:
    return Totals(
        held=Amount(tokens=row.held_tokens, device_ms=row.held_ms),
        charged=Amount(tokens=row.charged_tokens, device_ms=row.charged_ms),
        overrun=Amount(tokens=row.overrun_tokens, device_ms=row.overrun_ms),
    )


def totals_row(*, held: Amount = NOTHING, charged: Amount = NOTHING, overrun: Amount = NOTHING) -> Params:
    return {
        "held_tokens": held.tokens,
        "held_ms": held.device_ms,
        "charged_tokens": charged.tokens,
        "charged_ms": charged.device_ms,
        "overrun_tokens": overrun.tokens,
        "overrun_ms": overrun.device_ms,
    }


def entry_of(kind: Kind, hold: Hold, *, seq: int, at_ms: int, **more: Any) -> Params:
    return (
        ENTRY
        | {
            "tenant": hold.tenant,
            "seq": seq,
            "at_ms": at_ms,
            "kind": kind.value,
            "name": hold.name,
            "run": hold.run,
            "reserved_ms": hold.at_ms,
            "request_id": hold.request_id,
            "tier": hold.tier,
            "policy": hold.policy,
        }
        | more
    )


def ending_of(ended: Settled, bill: Bill, *, seq: int, at_ms: int) -> Params:
    """The entry of a hold's end. Savings count where something was charged; preparing is paid for in any case."""
    hold, price = ended.hold, ended.price
    saved = hold.tokens_saved if bill.cause in CHARGED else 0
    return entry_of(
        Kind.SETTLE if bill.cause in CHARGED else Kind.RELEASE,
        hold,
        seq=seq,
        at_ms=at_ms,
        cause=bill.cause.value,
        **totals_row(held=NOTHING - hold.amount, charged=ended.charged, overrun=ended.overrun),
        tokens_saved=saved,
        saved_ms=bill.saved_ms,
        prepare_us=hold.prepare_us,
        price_version=price.version,
        currency=price.currency,
        tokens_micros=price.tokens(ended.charged.tokens),
        device_micros=price.device(ended.charged.device_ms),
        tokens_saved_micros=price.tokens(saved),
        device_saved_micros=price.device(bill.saved_ms),
        prepare_micros=price.prepare(hold.prepare_us),
    )


def usage_of(entry: Params) -> Params:
    """What an ending adds to its row of `usage`."""
    row = {
        "tenant": entry["tenant"],
        "hour_ms": entry["reserved_ms"] - entry["reserved_ms"] % HOUR_MS,
        "tier": entry["tier"],
        "policy": entry["policy"],
        "currency": entry["currency"],
        **{name: entry[name] for name in USAGE if name in entry},
        "requests": 1,
        "tokens": entry["charged_tokens"],
        "device_ms": entry["charged_ms"],
    }
    outcome = OUTCOMES.get(Cause(entry["cause"]))
    return USAGE | row | ({outcome: 1} if outcome else {})


def details_of(decision: Decision, flags: tuple[str, ...]) -> str:
    said: Params = {}
    if flags:
        said["flags"] = list(flags)
    if decision.refusals:
        said["refusals"] = [refusal.subject for refusal in decision.refusals]
    return dumps(said) if said else ""


def budget_json(budget: Budget | None) -> Params | None:
    if budget is None:
        return None
    limits = [
        {
            "window": limit.window.value,
            "tokens": limit.tokens,
            "device_ms": limit.device_ms,
            "soft": limit.soft,
            "carry_over": limit.carry_over,
        }
        for limit in budget.limits
    ]
    return {
        "limits": limits,
        "shadow": budget.shadow,
        "concurrent": budget.concurrent,
        "throttle": budget.throttle,
    }


def budget_of(text: str) -> Budget | None:
    if not text:
        return None
    said = json.loads(text)
    limits = tuple(Limit(**limit | {"window": Window(limit["window"])}) for limit in said.pop("limits"))
    return Budget(limits=limits, **said)


def raise_of(row: Row[Any]) -> Raise:
    return Raise(
        window=Window(row.window),
        amount=Amount(tokens=row.tokens, device_ms=row.device_ms),
        expires_ms=row.expires_ms,
        note=row.note,
    )


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def amount_row(amount: Amount) -> Params:
    return {"tokens": amount.tokens, "device_ms": amount.device_ms}
