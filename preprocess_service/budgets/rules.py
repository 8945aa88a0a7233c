"""The field rules of UsageService's budgets, checked at the edge. Every broken rule of a request is named at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import InvalidFieldError, Violation

from .core import ANYBODY, MOST, Window

TENANT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
NOTE_MAX: Final = 200
AWAY_MAX_MS: Final = 366 * 86_400_000
ABNORMAL: Final = ("", "flag", "throttle")
WINDOWS: Final = tuple(window.value for window in Window)


def check_tenant(tenant: str) -> None:
    """Raise ``InvalidFieldError`` unless ``tenant`` can be one, or is "*"."""
    _raise([*_tenant(tenant)])


def check_change(request: pb.SetBudgetRequest, now_ms: int) -> None:
    """Raise ``InvalidFieldError`` with all violations."""
    broken = [*_tenant(request.tenant)] if request.tenant else [_broken("tenant", 'is empty; "*" is everybody')]
    change = request.WhichOneof("change")
    if change is None:
        broken.append(_broken("budget", "or raise or remove is to be given"))
    elif change == "budget":
        broken += _budget(request.budget)
    elif change == "raise" and request.tenant == ANYBODY:
        broken.append(_broken("raise", 'of "*" is nobody\'s: raise a tenant, or set the budget of "*"'))
    elif change == "raise":
        broken += _more(getattr(request, "raise"), now_ms)
    elif not request.remove:
        broken.append(_broken("remove", "is false: nothing would change"))
    _raise(broken)


def _raise(broken: list[Violation]) -> None:
    if broken:
        message = "; ".join(f"{violation.subject} {violation.description}" for violation in broken)
        raise InvalidFieldError(message, violations=broken)


def _broken(field: str, description: str) -> Violation:
    return Violation(subject=field, description=description)


def _tenant(tenant: str) -> Iterator[Violation]:
    if tenant != ANYBODY and not TENANT.fullmatch(tenant):
        yield _broken("tenant", 'must be 1 to 64 letters, digits, dots, dashes or underscores, or "*"')


def _budget(budget: pb.Budget) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, limit in enumerate(budget.limits):
        field = f"budget.limits[{index}]"
        yield from _window(f"{field}.window", limit.window)
        if limit.window in seen:
            yield _broken(f"{field}.window", f"has {limit.window!r} a second time")
        seen.add(limit.window)
        if not limit.HasField("tokens") and not limit.HasField("device_ms"):
            yield _broken(field, "limits nothing: give tokens or device_ms")
        if limit.carry_over and limit.window == Window.REQUEST:
            yield _broken(f"{field}.carry_over", "is not for a request, which has no window before it")
        yield from _figures(field, limit)
    if budget.abnormal not in ABNORMAL:
        yield _broken("budget.abnormal", f"is {budget.abnormal!r}, must be flag or throttle")


def _more(more: pb.BudgetRaise, now_ms: int) -> Iterator[Violation]:
    yield from _window("raise.window", more.window)
    if not more.tokens and not more.device_ms:
        yield _broken("raise", "raises nothing: give tokens or device_ms")
    yield from _figures("raise", more)
    away = more.expire_time.seconds * 1000 - now_ms
    if not more.HasField("expire_time") or away <= 0:
        yield _broken("raise.expire_time", "must be in the future")
    elif away > AWAY_MAX_MS:
        yield _broken("raise.expire_time", "must be at most 366 days away")
    if len(more.note) > NOTE_MAX:
        yield _broken("raise.note", f"has {len(more.note)} characters, at most {NOTE_MAX} are kept")
    if not more.note.isprintable():
        yield _broken("raise.note", "must be printable characters only")


def _window(field: str, window: str) -> Iterator[Violation]:
    if window not in WINDOWS:
        yield _broken(field, f"is {window!r}, must be one of {', '.join(WINDOWS)}")


def _figures(field: str, limit: pb.BudgetLimit | pb.BudgetRaise) -> Iterator[Violation]:
    for name in ("tokens", "device_ms"):
        if getattr(limit, name) > MOST:
            yield _broken(f"{field}.{name}", f"must be at most {MOST}")
