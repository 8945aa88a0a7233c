"""What the books say of an ask before it is decided: whether a hold stands for it already, and how full its windows are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from reelgate.rpc.errors import InvalidFieldError

from . import calendar, decide
from . import statements as sql
from .core import COUNTED, Amount, Ask, Cause, Hold, State, Totals
from .rows import Params, hold_of, totals_of
from .windows import EMPTY, Windows


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """``found`` stands for the ask, ``led`` is where its request id leads to. ``windows`` are empty where they were not asked for."""

    found: Hold | None
    led: Hold | None
    windows: Windows


def look(conn: Connection, ask: Ask, *, windows: bool) -> Seen:
    """Raises ``InvalidFieldError`` where the ask's request id stands for another request that is under way."""
    given: Params = {"name": ask.name, "run": ask.run, "tenant": ask.tenant, "request_id": ask.request_id}
    if windows:
        given |= _near(ask.at_ms)
    rows = conn.execute(sql.look[bool(ask.request_id), windows], given).all()
    same = next((hold_of(row) for row in rows if row.what == sql.SAME), None)
    led = next((hold_of(row) for row in rows if row.what == sql.LED), None)
    full = ((row.name, row.at_ms, _totals(row)) for row in rows if row.what == sql.WINDOW)
    return Seen(found=_stands(ask, same, led), led=led, windows=_sorted(full, ask.at_ms) if windows else EMPTY)


def read_windows(conn: Connection, tenant: str, at_ms: int) -> Windows:
    """Those around ``at_ms``."""
    rows = conn.execute(sql.read_windows, _near(at_ms) | {"tenant": tenant})
    return _sorted(((row.window, row.start_ms, totals_of(row)) for row in rows), at_ms)


def account_of(conn: Connection, tenant: str) -> Row[Any]:
    """The tenant's versions and open holds; of one without a row only that of the default budget."""
    row = conn.execute(sql.read_account, {"tenant": tenant}).one_or_none()
    return conn.execute(sql.read_default).one() if row is None else row


def find(conn: Connection, name: str, run: str) -> Row[Any] | None:
    return conn.execute(sql.find_hold, {"name": name, "run": run}).one_or_none()


def locked(conn: Connection, name: str, run: str, *, opened: int) -> tuple[Row[Any] | None, Row[Any] | None]:
    """The account of a hold's tenant, locked and ready for one entry, and the hold as it stands then."""
    given = {"name": name, "run": run, "entries": 1, "opened": opened}
    account = conn.execute(sql.bump_by_hold, given).one_or_none()
    return (None, None) if account is None else (account, find(conn, name, run))


def _stands(ask: Ask, same: Hold | None, led: Hold | None) -> Hold | None:
    """Which of the two stands for ``ask``."""
    if led is None:
        return same
    if led.state is State.OPEN and led.name != ask.name:
        raise InvalidFieldError.of("request_id", "stands for another request that is under way; choose a new one")
    stands = led.name == ask.name and (led.state is State.OPEN or led.cause in (Cause.DONE, Cause.STORED))
    return led if stands else same


def _near(at_ms: int) -> Params:
    """When the windows around ``at_ms`` began."""
    moments = {"now": calendar.start, "was": calendar.before, "next": calendar.end}
    return {f"{window}_{which}": moment(window, at_ms) for window in COUNTED for which, moment in moments.items()}


def _totals(row: Row[Any]) -> Totals:
    """Of a window in place of a hold; what overran is nothing to decide by."""
    return Totals(
        held=Amount(tokens=row.tokens, device_ms=row.device_ms),
        charged=Amount(tokens=row.charged_tokens, device_ms=row.charged_ms),
    )


def _sorted(found: Iterable[tuple[str, int, Totals]], at_ms: int) -> Windows:
    totals = {(window, start): each for window, start, each in found}
    return Windows.around(at_ms, lambda window, start_ms: totals.get((window.value, start_ms), decide.ZERO))
