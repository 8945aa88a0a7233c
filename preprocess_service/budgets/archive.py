"""The ledger's entries as they are in its database, for the verbs that read it without a service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import select, tuple_

from .database import Database
from .schema import entries

CHUNK: Final = 5000
COLUMNS: Final = tuple(column.name for column in entries.c)


async def read(
    database: Database, *, from_ms: int = 0, to_ms: int | None = None, tenant: str = "", kinds: Sequence[str] = ()
) -> AsyncIterator[dict[str, Any]]:
    """Entries of [from_ms, to_ms), of one tenant after the other, each by number. A chunk a transaction: a long look holds up nobody.

    Raises ``BudgetStoreUnavailableError``.
    """
    order = (entries.c.tenant, entries.c.seq)
    wanted = select(*entries.c).where(entries.c.at_ms >= from_ms).order_by(*order).limit(CHUNK)
    if to_ms is not None:
        wanted = wanted.where(entries.c.at_ms < to_ms)
    if tenant:
        wanted = wanted.where(entries.c.tenant == tenant)
    if kinds:
        wanted = wanted.where(entries.c.kind.in_(kinds))
    chunk = wanted
    while True:
        asked = chunk
        rows = await database.read(lambda connection, asked=asked: connection.execute(asked).mappings().all())  # type: ignore[misc]
        for row in rows:
            yield dict(row)
        if len(rows) < CHUNK:
            return
        chunk = wanted.where(tuple_(*order) > (rows[-1]["tenant"], rows[-1]["seq"]))
