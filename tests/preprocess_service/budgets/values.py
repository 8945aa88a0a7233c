"""Short names for what the tests of the ledger ask for."""

from __future__ import annotations

from preprocess_service.budgets.core import Amount, Ask, Bill, Budget, Cause, Filed, Limit, Price, Window

NOON = 1_764_072_000_000
"""25 November 2025, 12:00 UTC."""
FILED = Filed()
PRICE = Price(version="2025-11", tokens_micros=2_000, device_micros=900, prepare_micros=50)


def ask(name: str = "n", run: str = "r", tokens: int = 10, device_ms: int = 100, **more: object) -> Ask:
    given = {"tenant": "a", "at_ms": NOON} | more
    return Ask(name=name, run=run, amount=Amount(tokens=tokens, device_ms=device_ms), **given)  # type: ignore[arg-type]


def bill(cause: Cause = Cause.DONE, tokens: int = 10, device_ms: int = 80, saved_ms: int = 0) -> Bill:
    amount = Amount(tokens=tokens, device_ms=device_ms)
    return Bill(cause=cause, due=amount, measured=amount, saved_ms=saved_ms)


def limited(tokens: int, window: Window = Window.DAY, **more: object) -> Budget:
    return Budget(limits=(Limit(window=window, tokens=tokens),), **more)  # type: ignore[arg-type]
