"""The windows of one tenant counted anew from holds and from entries: what the proof of the books compares with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, case, cast, func, select
from sqlalchemy.sql.expression import ColumnElement

from . import calendar
from .core import COUNTED, Totals, Window
from .ledger import Drift
from .rows import totals_of
from .schema import entries, holds, windows
from .statements import IS_HELD

SUMS = ("held_tokens", "held_ms", "charged_tokens", "charged_ms", "overrun_tokens", "overrun_ms")
Slot = tuple[Window, int]


def of_tenant(conn: Connection, tenant: str) -> Iterator[Drift]:
    rows = conn.execute(select(windows).where(windows.c.tenant == tenant))
    kept = {(Window(row.window), row.start_ms): totals_of(row) for row in rows}
    by_holds, by_entries = counted(_held(conn, tenant)), counted(_entered(conn, tenant))
    for slot in sorted(kept.keys() | by_holds.keys() | by_entries.keys()):
        was = kept.get(slot, Totals())
        wrong = next((c for c in (by_holds, by_entries) if c.get(slot, Totals()) != was), None)
        if wrong is not None:
            said = str(wrong.get(slot, Totals()))
            yield Drift(tenant=tenant, window=slot[0], start_ms=slot[1], kept=str(was), counted=said)


def counted(minutes: Iterable[Row[Any]]) -> dict[Slot, Totals]:
    """Sums by minute, made sums of every window."""
    sums: dict[Slot, Totals] = defaultdict(Totals)
    for row in minutes:
        more = totals_of(row)
        for window in COUNTED:
            slot = (window, calendar.start(window, row.minute))
            was = sums[slot]
            sums[slot] = Totals(
                held=was.held + more.held, charged=was.charged + more.charged, overrun=was.overrun + more.overrun
            )
    return sums


def _minute(column: ColumnElement[int]) -> ColumnElement[int]:
    return (column - column % calendar.MINUTE_MS).label("minute")


def _entered(conn: Connection, tenant: str) -> Iterable[Row[Any]]:
    sums = [summed(entries.c[name], name) for name in SUMS]
    asked = select(_minute(entries.c.reserved_ms), *sums).where(entries.c.tenant == tenant, entries.c.reserved_ms > 0)
    return conn.execute(asked.group_by("minute"))


def _held(conn: Connection, tenant: str) -> Iterable[Row[Any]]:
    sums = [summed(column, name) for name, column in of_holds().items()]
    return conn.execute(select(_minute(holds.c.at_ms), *sums).where(holds.c.tenant == tenant).group_by("minute"))


def of_holds() -> dict[str, ColumnElement[int]]:
    """What a hold is in its windows, by the names of `SUMS`."""
    c = holds.c
    return {
        "held_tokens": case((IS_HELD, c.tokens), else_=0),
        "held_ms": case((IS_HELD, c.device_ms), else_=0),
        "charged_tokens": c.charged_tokens,
        "charged_ms": c.charged_ms,
        "overrun_tokens": c.measured_tokens - c.charged_tokens,
        "overrun_ms": c.measured_ms - c.charged_ms,
    }


def summed(column: ColumnElement[int], name: str) -> ColumnElement[int]:
    """PostgreSQL adds up integers to a decimal."""
    return cast(func.sum(column), BigInteger).label(name)
