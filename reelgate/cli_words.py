"""What people write on the command line about time and budgets, as values. Every function raises ``typer.BadParameter``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import typer

from reelgate.budgets import Limit, Raise

WINDOWS = ("request", "minute", "day", "month")
FLAGS = ("soft", "carry_over")
SPAN = re.compile(r"(\d{1,6})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
EXAMPLE = "day:tokens=10000,device_seconds=600,soft"


def moment(text: str, option: str) -> datetime | None:
    """``2026-01-01``, ``2026-01-01T12:00`` or with a time zone; without one it is UTC. Empty: None."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-01-31 or 2026-01-31T12:00Z", param_hint=option
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def until(text: str, option: str, now: datetime) -> datetime:
    """As `moment`, or from now: ``90m``, ``24h``, ``7d``."""
    if span := SPAN.fullmatch(text):
        return now + timedelta(**{UNITS[span[2]]: int(span[1])})
    at = moment(text, option)
    if at is None:
        raise typer.BadParameter("says when the raise ends: 24h, 7d or 2026-01-31", param_hint=option)
    return at


def limit_of(text: str) -> Limit:
    """``day:tokens=10000,device_seconds=600,soft,carry_over``."""
    window, figures, flags = _parts(text, "--limit")
    if unknown := flags - set(FLAGS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} in {text!r}: soft or carry_over", param_hint="--limit")
    if not figures:
        raise typer.BadParameter(f"{text!r} limits nothing: e.g. {EXAMPLE}", param_hint="--limit")
    return Limit(
        window=window,
        tokens=figures.get("tokens"),
        device_ms=figures.get("device_ms"),
        soft="soft" in flags,
        carry_over="carry_over" in flags,
    )


def raise_of(text: str, expires: datetime, note: str) -> Raise:
    """``day:tokens=+5000,device_seconds=+60``; the plus may be left out."""
    window, figures, flags = _parts(text.replace("=+", "="), "MORE")
    if flags or not figures:
        raise typer.BadParameter(f"{text!r}: e.g. day:tokens=+5000,device_seconds=+60", param_hint="MORE")
    return Raise(
        window=window,
        expire_time=expires,
        tokens=figures.get("tokens", 0),
        device_ms=figures.get("device_ms", 0),
        note=note,
    )


def _parts(text: str, option: str) -> tuple[str, dict[str, int], set[str]]:
    """The window, figures in tokens and milliseconds, and words without a figure."""
    window, colon, rest = text.partition(":")
    if not colon or window not in WINDOWS:
        raise typer.BadParameter(
            f"{text!r} begins with a window ({', '.join(WINDOWS)}) and a colon: e.g. {EXAMPLE}", param_hint=option
        )
    figures: dict[str, int] = {}
    flags: set[str] = set()
    for part in filter(None, (each.strip() for each in rest.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            flags.add(name)
            continue
        to, per = {"tokens": ("tokens", 1), "device_ms": ("device_ms", 1), "device_seconds": ("device_ms", 1000)}.get(
            name, ("", 0)
        )
        if not to:
            raise typer.BadParameter(f"{name!r} in {text!r}: tokens, device_seconds or device_ms", param_hint=option)
        if to in figures:
            raise typer.BadParameter(f"{text!r} has {to} twice", param_hint=option)
        figures[to] = _whole(value, per, option)
    return window, figures, flags


def _whole(value: str, per: int, option: str) -> int:
    try:
        number = Decimal(value) * per if re.fullmatch(r"[0-9_]+(\.[0-9]+)?", value) else None
    except InvalidOperation:
        number = None
    if number is None or number != int(number):
        what = "a whole number" if per == 1 else "seconds, to the millisecond"
        raise typer.BadParameter(f"{value!r} is not {what}", param_hint=option)
    return int(number)
