"""Budgets and the bill as the client gives them back: plain frozen values. Figures are budget tokens and milliseconds of device time."""

from __future__ import annotations

import dataclasses
from datetime import datetime


@dataclasses.dataclass(frozen=True, kw_only=True)
class Money:
    """``micros`` are millionths of ``currency`` (ISO 4217), by the version of the price table that is named."""

    micros: int
    currency: str
    price_version: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the budget said: ``reason``, ``window`` and ``reset_time`` (UTC) where it is not allowed."""

    allowed: bool
    reason: str = ""
    warnings: tuple[str, ...] = ()
    held_tokens: int = 0
    held_device_ms: int = 0
    window: str = ""
    reset_time: datetime | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bill:
    """What was charged; ``cause`` says by which rule. ``overrun_device_ms`` was measured and is the operator's."""

    tokens: int
    device_ms: int
    overrun_device_ms: int
    cause: str
    price: Money | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """Of one ``window``: request, minute, day or month. None: no limit."""

    window: str
    tokens: int | None = None
    device_ms: int | None = None
    soft: bool = False
    carry_over: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raise:
    """More for one window until ``expire_time`` (with a time zone)."""

    window: str
    expire_time: datetime
    tokens: int = 0
    device_ms: int = 0
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What a tenant may spend. ``abnormal`` is flag or throttle."""

    limits: tuple[Limit, ...] = ()
    shadow: bool = False
    concurrent: int | None = None
    abnormal: str = "flag"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """One window now: limit = free + held + charged; ``limit`` has raises and what was carried over in it. Free is None without a limit."""

    limit: Limit
    charged_tokens: int
    held_tokens: int
    charged_device_ms: int
    held_device_ms: int
    overrun_device_ms: int
    free_tokens: int | None
    free_device_ms: int | None
    reset_time: datetime | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """A tenant's budget as it stands. ``source`` is file, set, default_file, default_set or none."""

    tenant: str
    windows: tuple[Window, ...]
    budget: Budget
    source: str
    version: int
    raises: tuple[Raise, ...]
    open_runs: int
    abnormal: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsageRow:
    """What was charged and saved in one bucket, of requests that have ended; see the contract's UsageRow. What is summed up is ""."""

    tenant: str
    tier: str
    policy: str
    bucket_start: datetime
    requests: int
    tokens: int
    tokens_saved: int
    device_ms: int
    overrun_device_ms: int
    device_ms_saved: int
    prepare_us: int
    done: int
    stored: int
    cancelled: int
    failed: int
    tokens_micros: int
    device_micros: int
    tokens_saved_micros: int
    device_saved_micros: int
    prepare_micros: int
    currency: str
