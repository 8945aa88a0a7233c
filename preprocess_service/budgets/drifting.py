"""All windows against their holds and against their entries, added up by the database: of millions of rows come back those that differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, literal, or_, select, union_all

from . import calendar
from .core import Amount, Totals, Window
from .ledger import Drift
from .rows import totals_of
from .schema import entries, holds, windows
from .tally import SUMS, of_holds, summed

SIZES: Final = {Window.MINUTE: calendar.MINUTE_MS, Window.DAY: calendar.DAY_MS}
"""Windows of one length. A month is added up of its days."""
Sums = Select[Any]


def drifts(conn: Connection) -> tuple[Drift, ...]:
    """Of all tenants, in one reading transaction."""
    found: dict[tuple[str, Window, int], Drift] = {}
    for source in (_by_holds(), _by_entries()):
        for drift in (*_of_one_length(conn, source), *_of_months(conn, source)):
            found.setdefault((drift.tenant, drift.window, drift.start_ms), drift)
    return tuple(found[slot] for slot in sorted(found))


def _of_one_length(conn: Connection, source: Sums) -> Iterator[Drift]:
    for window, size in SIZES.items():
        for row in conn.execute(_differing(source, window, size)):
            yield _drift(row.tenant, window, row.start_ms, _totals(row, "kept"), _totals(row, "counted"))


def _differing(source: Sums, window: Window, size: int) -> Sums:
    """Both sides under each other, added up by tenant and window."""
    counted = source.subquery()
    of = (counted.c.at_ms - counted.c.at_ms % size).label("start_ms")
    one = select(
        counted.c.tenant,
        of,
        *(counted.c[name].label(f"counted_{name}") for name in SUMS),
        *(literal(0).label(f"kept_{name}") for name in SUMS),
    )
    other = select(
        windows.c.tenant,
        windows.c.start_ms,
        *(literal(0).label(f"counted_{name}") for name in SUMS),
        *(windows.c[name].label(f"kept_{name}") for name in SUMS),
    ).where(windows.c.window == window.value)
    both = union_all(one, other).subquery()
    sums = {
        f"{side}_{name}": summed(both.c[f"{side}_{name}"], f"{side}_{name}")
        for side in ("counted", "kept")
        for name in SUMS
    }
    return (
        select(both.c.tenant, both.c.start_ms, *sums.values())
        .group_by(both.c.tenant, both.c.start_ms)
        .having(or_(*(func.sum(both.c[f"counted_{name}"]) != func.sum(both.c[f"kept_{name}"]) for name in SUMS)))
    )


def _of_months(conn: Connection, source: Sums) -> Iterator[Drift]:
    counted = source.subquery()
    day = (counted.c.at_ms - counted.c.at_ms % calendar.DAY_MS).label("start_ms")
    days = select(counted.c.tenant, day, *(summed(counted.c[name], name) for name in SUMS)).group_by(
        counted.c.tenant, day
    )
    sums: dict[tuple[str, int], Totals] = defaultdict(Totals)
    for row in conn.execute(days):
        slot = (row.tenant, calendar.start(Window.MONTH, row.start_ms))
        was, more = sums[slot], totals_of(row)
        sums[slot] = Totals(
            held=was.held + more.held, charged=was.charged + more.charged, overrun=was.overrun + more.overrun
        )
    kept = {
        (row.tenant, row.start_ms): totals_of(row)
        for row in conn.execute(select(windows).where(windows.c.window == Window.MONTH.value))
    }
    for slot in sums.keys() | kept.keys():
        one, other = kept.get(slot, Totals()), sums.get(slot, Totals())
        if one != other:
            yield _drift(slot[0], Window.MONTH, slot[1], one, other)


def _by_holds() -> Sums:
    return select(holds.c.tenant, holds.c.at_ms, *(column.label(name) for name, column in of_holds().items()))


def _by_entries() -> Sums:
    c = entries.c
    return select(c.tenant, c.reserved_ms.label("at_ms"), *(c[name] for name in SUMS)).where(c.reserved_ms > 0)


def _drift(tenant: str, window: Window, start_ms: int, kept: Totals, counted: Totals) -> Drift:
    return Drift(tenant=tenant, window=window, start_ms=start_ms, kept=str(kept), counted=str(counted))


def _totals(row: Row[Any], side: str) -> Totals:
    held, charged, overrun = (
        Amount(tokens=getattr(row, f"{side}_{what}_tokens"), device_ms=getattr(row, f"{side}_{what}_ms"))
        for what in ("held", "charged", "overrun")
    )
    return Totals(held=held, charged=charged, overrun=overrun)
