"""What the books say of the last days, for a replica that has just begun to look for abnormal use."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select

from .abnormal import MOST, Hour
from .database import Database
from .pace import HOUR_MS
from .schema import usage

DAYS: Final = 7


async def recent(database: Database, now_ms: int) -> list[Hour]:
    """The whole hours of the last week, those without use too from a tenant's first one on; the `MOST` busiest tenants.

    Raises ``BudgetStoreUnavailableError``.
    """
    until = now_ms - now_ms % HOUR_MS
    within = (usage.c.hour_ms >= until - DAYS * 24 * HOUR_MS) & (usage.c.hour_ms < until)
    busiest = (
        select(usage.c.tenant)
        .where(within)
        .group_by(usage.c.tenant)
        .order_by(func.sum(usage.c.requests).desc())
        .limit(MOST)
    )
    columns = [func.sum(usage.c[name]) for name in ("tokens", "device_ms", "requests")]
    asked = (
        select(usage.c.tenant, usage.c.hour_ms, *columns)
        .where(within, usage.c.tenant.in_(busiest))
        .group_by(usage.c.tenant, usage.c.hour_ms)
        .order_by(usage.c.tenant, usage.c.hour_ms)
    )
    rows = await database.read(lambda connection: connection.execute(asked).all())
    return _filled(
        [Hour(tenant=t, hour_ms=h, tokens=int(a), device_ms=int(b), requests=int(c)) for t, h, a, b, c in rows], until
    )


def _filled(known: list[Hour], until_ms: int) -> list[Hour]:
    filled: list[Hour] = []
    for at, hour in enumerate(known):
        following = known[at + 1] if at + 1 < len(known) and known[at + 1].tenant == hour.tenant else None
        filled.append(hour)
        for empty in range(hour.hour_ms + HOUR_MS, following.hour_ms if following else until_ms, HOUR_MS):
            filled.append(Hour(tenant=hour.tenant, hour_ms=empty, tokens=0, device_ms=0, requests=0))
    return filled
