"""Tells the outside of every hold that ended, at least once.

A settlement and its row of `outbox` are one transaction, so nothing is forgotten; the row goes once the sink has taken the event. Who
dies in between tells it twice. Tenants are claimed by the first of their rows, which is also the only one that may be claimed: so a
tenant's events are told in their order, by one replica at a time, and one that is not taken holds up those behind it, until it is given
up. It then stays in the table for an operator to see.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Executable, Update, delete, func, select, update

from .books import clock
from .database import Database
from .events import encoded, event_of
from .schema import entries, outbox
from .sinks import AT_ONCE, DeliveryError, Sink

log = logging.getLogger(__name__)
RUN: Final = 16
"""Events of one tenant that are claimed together."""
TRIES: Final = 20
FIRST_PAUSE_MS: Final = 1000
LONGEST_PAUSE_MS: Final = 300_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """Events of one tenant, in order, ours until ``until_ms``."""

    tenant: str
    rows: tuple[Mapping[str, Any], ...]
    until_ms: int


class Outbox:
    """``source``: the CloudEvents source of this deployment. ``tries`` until an event is given up: with the pauses between them (one
    second, doubling up to five minutes) twenty are about an hour. ``counts``: sent, failed, given_up since the start."""

    def __init__(
        self,
        database: Database,
        sink: Sink,
        *,
        source: str = "/reelgate",
        tries: int = TRIES,
        now: Callable[[], int] = clock,
    ) -> None:
        self._database, self._sink, self._source, self._tries, self._now = database, sink, source, tries, now
        self._lease_ms = round((RUN + 1) * sink.timeout_s * 1000)
        self.counts: Counter[str] = Counter(sent=0, failed=0, given_up=0)

    async def drain(self, most: int = 1000) -> int:
        """Tell what is due, at most ``most`` events; how many were taken. Raises ``BudgetStoreUnavailableError``."""
        before = self.counts["sent"]
        while (told := self.counts["sent"] - before) < most:
            claims = await self._claim(min(AT_ONCE, most - told), min(RUN, most - told))
            if not claims:
                break
            await asyncio.gather(*map(self._tell, claims))
        return self.counts["sent"] - before

    async def waiting(self) -> tuple[int, int]:
        """Events that are not told yet, and those that were given up."""
        counted = select(outbox.c.given_up, func.count()).group_by(outbox.c.given_up)
        rows = await self._database.read(lambda connection: connection.execute(counted).all())
        found = {bool(given_up): int(number) for given_up, number in rows}
        return found.get(False, 0), found.get(True, 0)

    async def close(self) -> None:
        """What was not told stays in the table."""
        self._sink.close()

    async def _claim(self, tenants: int, each: int) -> list[Claimed]:
        # All that waits is looked through while others write; claimed is then among few. Where others have all of them, be it that
        # they hang in the middle of their claim, those behind are looked at.
        passed: list[str] = []
        while due := await self._due(tenants, passed):
            if made := await self._claim_of(due, each):
                return made
            passed += due
        return []

    async def _due(self, most: int, passed: Sequence[str]) -> Sequence[str]:
        asked = _heads(self._now()).where(outbox.c.tenant.not_in(passed)).limit(most)
        return await self._database.read(lambda connection: connection.execute(asked).scalars().all())

    async def _claim_of(self, due: Sequence[str], each: int) -> list[Claimed]:
        now = self._now()
        until = now + self._lease_ms

        def body(connection: Connection) -> list[Claimed]:
            made = []
            for tenant in connection.execute(_claimed(now, due)).scalars().all():
                rows = connection.execute(_events(tenant, each)).mappings().all()
                made.append(Claimed(tenant=tenant, rows=tuple(dict(row) for row in rows), until_ms=until))
                connection.execute(_set(tenant, [row["seq"] for row in rows], next_ms=until))
            return made

        return await self._database.write(body)

    async def _write(self, statement: Executable) -> None:
        await self._database.write(lambda connection: connection.execute(statement) and None)

    async def _tell(self, claimed: Claimed) -> None:
        """One after the other, until one is not taken or the claim runs out; what is left is free for the next, also where this replica
        stops in the middle."""
        left = [row["seq"] for row in claimed.rows]
        try:
            for row in claimed.rows:
                if self._now() + self._sink.timeout_s * 1000 > claimed.until_ms:
                    break
                goes_on = await self._one(claimed.tenant, row)
                left.remove(row["seq"])
                if not goes_on:
                    break
        finally:
            if left:
                # Unless it took so long that they are another's by now.
                ours = outbox.c.next_ms == claimed.until_ms
                await self._write(_set(claimed.tenant, left, next_ms=0).where(ours))

    async def _one(self, tenant: str, row: Mapping[str, Any]) -> bool:
        """Whether the next may be told."""
        seq = row["seq"]
        try:
            body = encoded(event_of(row, source=self._source))
        except (KeyError, ValueError, TypeError):
            return await self._failed(tenant, seq, self._tries, DeliveryError("the ledger has no such settlement"))
        try:
            await self._sink.send(f"{tenant}/{seq}", body)
        except DeliveryError as error:
            return await self._failed(tenant, seq, row["tries"] + 1, error)
        await self._write(delete(outbox).where(outbox.c.tenant == tenant, outbox.c.seq == seq))
        self.counts["sent"] += 1
        return True

    async def _failed(self, tenant: str, seq: int, tries: int, error: DeliveryError) -> bool:
        self.counts["failed"] += 1
        given_up = tries >= self._tries
        about = {"event": f"{tenant}/{seq}", "tries": tries, "detail": str(error)}
        if given_up:
            self.counts["given_up"] += 1
            log.error("an event is given up", extra=about)
        else:
            log.warning("an event was not taken", extra=about)
        pause = max(min(FIRST_PAUSE_MS << min(tries - 1, 20), LONGEST_PAUSE_MS), round(error.after_s * 1000))
        await self._write(_set(tenant, [seq], tries=tries, next_ms=self._now() + pause, given_up=given_up))
        return given_up


def _set(tenant: str, seqs: Sequence[int], **values: Any) -> Update:
    return update(outbox).where(outbox.c.tenant == tenant, outbox.c.seq.in_(seqs)).values(**values)


def _heads(now: int) -> Any:
    """Tenants whose first row that is not given up is due."""
    other = outbox.alias("other")
    before = select(other.c.seq).where(
        other.c.tenant == outbox.c.tenant, other.c.seq < outbox.c.seq, other.c.given_up.is_(False)
    )
    return (
        select(outbox.c.tenant)
        .where(outbox.c.given_up.is_(False), outbox.c.next_ms <= now, ~before.exists())
        .order_by(outbox.c.next_ms, outbox.c.at_ms)
    )


def _claimed(now: int, tenants: Sequence[str]) -> Any:
    """Those of ``tenants`` that still are; those that another replica is claiming are left out."""
    return _heads(now).where(outbox.c.tenant.in_(tenants)).with_for_update(of=outbox, skip_locked=True)


def _events(tenant: str, most: int) -> Any:
    """A tenant's next events, with what the ledger knows of each."""
    told = [column for column in entries.c if column.name not in ("tenant", "seq")]
    same = (entries.c.tenant == outbox.c.tenant) & (entries.c.seq == outbox.c.seq)
    return (
        select(outbox.c.tenant, outbox.c.seq, *told, outbox.c.tries)
        .join_from(outbox, entries, same, isouter=True)
        .where(outbox.c.tenant == tenant, outbox.c.given_up.is_(False))
        .order_by(outbox.c.seq)
        .limit(most)
    )
