"""What a client is told when there is no room: the refusals of a ledger as errors of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from reelgate.rpc.errors import (
    DeviceTimeExceededError,
    GpuSecondsExhaustedError,
    PromptTokensExceededError,
    RateLimitedError,
    ReelgateError,
    TokenBudgetExhaustedError,
    Violation,
)

from .core import Refusal

CROWD_S = 5.0
"""When to come back while too many runs are open: nobody knows when one ends."""
THROTTLE_S = 60.0
NAMES = {"tokens": "budget tokens", "device_ms": "ms of device time"}


class PromptOverBudgetError(PromptTokensExceededError):
    """The prompt's tokens are more than a limit of the tenant's budget ever allows."""

    quota = True
    next_step = "Shorten the prompt, choose a policy that compresses more, or ask the operator for a higher limit."


class TimeOverBudgetError(DeviceTimeExceededError):
    """The same of device time."""

    quota = True


def error_of(refusals: Sequence[Refusal], tenant: str, at_ms: int) -> ReelgateError:
    """The error for ``refusals`` (at least one). The first decides, since waiting helps it least; all are in its violations."""
    first = refusals[0]
    window, _, currency = first.subject.rpartition(".")
    metadata = {
        "window": window,
        "currency": currency,
        "asked": str(first.asked),
        "limit": str(first.limit),
        "free": str(first.free),
    }
    wait: float | None = None
    if first.reset_ms is not None:
        metadata["reset_time"] = when(first.reset_ms)
        wait = max(0.001, (first.reset_ms - at_ms) / 1000)
    kind = kind_of(first)
    if kind is PromptOverBudgetError:
        metadata["tokens"] = metadata["asked"]
    violations = [Violation(subject=f"tenant:{tenant}", description=words(refusal)) for refusal in refusals]
    if kind is RateLimitedError and not first.never:
        wait = CROWD_S
    error = kind(words(first), metadata=metadata, violations=violations, retry_after=wait)
    if wait is None:
        error.retry_after = None  # nothing comes of waiting
    return error


def kind_of(refusal: Refusal) -> type[ReelgateError]:
    """Its class in the table of errors."""
    currency = refusal.subject.rpartition(".")[2]
    if currency == "concurrent":
        return RateLimitedError
    if currency == "tokens":
        return PromptOverBudgetError if refusal.never else TokenBudgetExhaustedError
    return TimeOverBudgetError if refusal.never else GpuSecondsExhaustedError


def reason_of(refusal: Refusal) -> str:
    return kind_of(refusal)("").reason


def throttled(tenant: str, flags: Sequence[str]) -> RateLimitedError:
    """Use is abnormal, and the tenant's budget says that it is throttled then."""
    signals = ", ".join(flags)
    return RateLimitedError(
        f"use is abnormal ({signals}), and this budget throttles then",
        metadata={"abnormal": signals},
        violations=[Violation(subject=f"tenant:{tenant}", description=f"abnormal use: {signals}")],
        retry_after=THROTTLE_S,
        next_step="Send fewer and other requests, or ask the operator to look at the signals.",
    )


def words(refusal: Refusal) -> str:
    """One sentence with all figures."""
    window, _, currency = refusal.subject.rpartition(".")
    if currency == "concurrent":
        return f"{refusal.limit - refusal.free} runs are open, at most {refusal.limit} may be at once"
    said = f"{refusal.asked} {NAMES[currency]} asked, {refusal.free} free of {refusal.limit} a {window}"
    if refusal.never:
        return f"{said}: this never fits"
    return said if refusal.reset_ms is None else f"{said}, until {when(refusal.reset_ms)}"


def when(at_ms: int) -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
