"""Between the contract's messages and the client's values of budgets and the bill."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from reelgate import budgets as b
from reelgate.holding import message
from reelgate.preprocess.v1 import preprocess_pb2 as pb

FIELDS = [f.name for f in dataclasses.fields(b.UsageRow) if f.name != "bucket_start"]


def when(m: Timestamp) -> datetime:
    return m.ToDatetime(UTC)


def stamp(moment: datetime) -> Timestamp:
    """A moment without a time zone is UTC."""
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def money(m: pb.Money) -> b.Money:
    return b.Money(micros=m.micros, currency=m.currency, price_version=m.price_version)


def verdict(m: pb.BudgetVerdict) -> b.Verdict:
    return b.Verdict(
        allowed=m.allowed,
        reason=m.reason,
        warnings=tuple(m.warnings),
        held_tokens=m.held_tokens,
        held_device_ms=m.held_device_ms,
        window=m.window,
        reset_time=when(m.reset_time) if m.HasField("reset_time") else None,
    )


def bill(m: pb.Bill) -> b.Bill:
    return b.Bill(
        tokens=m.tokens,
        device_ms=m.device_ms,
        overrun_device_ms=m.overrun_device_ms,
        cause=m.cause,
        price=money(m.price) if m.HasField("price") else None,
    )


def limit(m: pb.BudgetLimit) -> b.Limit:
    return b.Limit(
        window=m.window,
        tokens=m.tokens if m.HasField("tokens") else None,
        device_ms=m.device_ms if m.HasField("device_ms") else None,
        soft=m.soft,
        carry_over=m.carry_over,
    )


def standing(m: pb.GetBudgetResponse) -> b.Standing:
    return b.Standing(
        tenant=m.tenant,
        windows=tuple(map(window, m.windows)),
        budget=b.Budget(
            limits=tuple(map(limit, m.budget.limits)),
            shadow=m.budget.shadow,
            concurrent=m.budget.concurrent if m.budget.HasField("concurrent") else None,
            abnormal=m.budget.abnormal,
        ),
        source=m.source,
        version=m.version,
        raises=tuple(
            b.Raise(
                window=r.window,
                tokens=r.tokens,
                device_ms=r.device_ms,
                expire_time=when(r.expire_time),
                note=r.note,
            )
            for r in m.raises
        ),
        open_runs=m.open_runs,
        abnormal=tuple(m.abnormal),
    )


def window(m: pb.BudgetState) -> b.Window:
    return b.Window(
        limit=limit(m.limit),
        charged_tokens=m.charged_tokens,
        held_tokens=m.held_tokens,
        charged_device_ms=m.charged_device_ms,
        held_device_ms=m.held_device_ms,
        overrun_device_ms=m.overrun_device_ms,
        free_tokens=m.free_tokens if m.HasField("free_tokens") else None,
        free_device_ms=m.free_device_ms if m.HasField("free_device_ms") else None,
        reset_time=when(m.reset_time) if m.HasField("reset_time") else None,
    )


def budget_message(value: b.Budget) -> pb.Budget:
    """Raises ``InvalidFieldError`` for a figure that no field holds."""
    limits = [
        message(
            pb.BudgetLimit,
            window=each.window,
            tokens=each.tokens,
            device_ms=each.device_ms,
            soft=each.soft,
            carry_over=each.carry_over,
        )
        for each in value.limits
    ]
    return message(pb.Budget, limits=limits, shadow=value.shadow, concurrent=value.concurrent, abnormal=value.abnormal)


def raise_message(value: b.Raise) -> pb.BudgetRaise:
    return message(
        pb.BudgetRaise,
        window=value.window,
        tokens=value.tokens,
        device_ms=value.device_ms,
        expire_time=stamp(value.expire_time),
        note=value.note,
    )


def usage_row(m: pb.UsageRow) -> b.UsageRow:
    return b.UsageRow(bucket_start=when(m.bucket_start), **{name: getattr(m, name) for name in FIELDS})
