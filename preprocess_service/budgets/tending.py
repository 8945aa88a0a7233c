"""What a replica does about its slices (slices.py) while the ledger answers: lease them, book what was granted, give them back."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from reelgate.rpc.errors import BudgetStoreUnavailableError, ReelgateError

from . import calendar
from .asking import new_run
from .books import Books
from .core import COUNTED, Allowance, Ask, State, Window
from .slices import Key, Slice, Slices

log = logging.getLogger(__name__)
HOUR_MS: Final = 3_600_000
"""The longest that a slice is kept: usage is told by the hour of the reservation."""
AGAIN_MS: Final = 60_000
"""Pause before a tenant that had nothing free is given a slice after all, and between looks at what it may."""
MOST: Final = 1000
"""Slices of others that are looked at together."""
LEASES: Final = 3
"""A lease is as long as so many pauses."""


class Tending:
    """`tend` is a chore of the reconciler, every ``every_s``; `close` at a stop."""

    def __init__(self, books: Books, slices: Slices, *, every_s: float) -> None:
        self._books, self._slices = books, slices
        self._every_ms = round(1000 * every_s)
        self._tended_ms = 0
        self._ending: set[Key] = {grant.piece for grant in slices.grants.values()}
        """Slices from which nothing is granted any more: to be given back once what was granted is booked."""
        self._alone: dict[Key, int] = {}
        """Slices of others: for how long, in ms, nobody looks after them although the ledger answers."""
        self._known_ms: dict[str, int] = {}
        """When a tenant's allowance was read."""

    async def tend(self) -> None:
        """Raises ``BudgetStoreUnavailableError``, before anything is given up."""
        at = self._books.now()
        gap = at - self._tended_ms if self._tended_ms else 0
        await self._renew(at, gap)
        await self._book()
        for piece in list(self._slices.open.values()):
            if self._is_due(piece, at):
                self._close(piece)
        await self._give_back()
        await self._lease(at)
        await self._refresh(at)
        await self._bury(at, min(gap, 2 * self._every_ms))
        self._tended_ms = at
        self._slices.told()

    async def close(self) -> None:
        """Book and give back what can be; the rest is the journal's, for whoever starts next."""
        slices = self._slices
        for piece in list(slices.open.values()):
            self._close(piece)
        with suppress(ReelgateError):
            await self._book()
            await self._give_back()
        slices.journal.close(keep=bool(slices.grants))

    async def _renew(self, at: int, gap: int) -> None:
        slices, ledger = self._slices, self._books.ledger
        keys = [*(piece.key for piece in slices.open.values()), *self._ending]
        if keys:
            await ledger.renew(self._books.replica, keys, at_ms=at, for_ms=LEASES * self._every_ms)
        if gap < slices.rules.away_ms:
            return
        # Away for so long, or cut off alone: others may have taken this replica for dead.
        for piece in list(slices.open.values()):
            found = await ledger.find(*piece.key)
            if found is None or found.state is not State.SLICE:
                log.warning("a slice was given back by others", extra={"tenant": piece.hold.tenant})
                self._close(piece)

    async def _book(self) -> None:
        """Every grant becomes a hold. One that cannot does not keep the others from it."""
        for grant in list(self._slices.grants.values()):
            try:
                await self._books.book(grant)
            except BudgetStoreUnavailableError:
                raise
            except Exception:
                log.exception("a degraded grant could not be booked", extra={"run": grant.ask.run})

    def _is_due(self, piece: Slice, at: int) -> bool:
        quiet = self._slices.seen.get(piece.hold.tenant, 0) + self._slices.rules.quiet_ms < at
        return quiet or at >= piece.until_ms or (piece.spent and not self._slices.of(piece.key))

    def _close(self, piece: Slice) -> None:
        del self._slices.open[piece.hold.tenant]
        self._ending.add(piece.key)

    async def _give_back(self) -> None:
        """Those whose grants are all booked."""
        for key in list(self._ending):
            if not self._slices.of(key):
                await self._books.ledger.give_back(*key, at_ms=self._books.now())
                self._ending.discard(key)

    async def _lease(self, at: int) -> None:
        slices = self._slices
        slices.refused = {tenant: until for tenant, until in slices.refused.items() if until > at}
        for tenant in [tenant for tenant in reversed(slices.seen) if slices.seen[tenant] + slices.rules.quiet_ms >= at]:
            if len(slices.open) >= slices.rules.tenants:
                return
            if tenant not in slices.open and tenant not in slices.refused:
                await self._lease_for(tenant, at)

    async def _lease_for(self, tenant: str, at: int) -> None:
        books = self._books
        ask = Ask(tenant=tenant, name=name_of(books.replica), run=new_run(), amount=self._slices.rules.amount, at_ms=at)
        filed = await books.filed(tenant)
        allowance = (await books.ledger.standing(tenant, filed, at)).allowance
        made = await books.ledger.lease(ask, filed, owner=books.replica, for_ms=LEASES * self._every_ms)
        if made is None:
            self._slices.refused[tenant] = at + AGAIN_MS
            return
        until = ends(allowance, at)
        self._slices.open[tenant] = Slice(hold=made, left=made.amount, allowance=allowance, until_ms=until)
        self._known_ms[tenant] = at

    async def _refresh(self, at: int) -> None:
        """What tenants may, as it was last known."""
        books, pieces = self._books, self._slices.open
        self._known_ms = {tenant: known for tenant, known in self._known_ms.items() if tenant in pieces}
        for tenant, known in list(self._known_ms.items()):
            if known + AGAIN_MS <= at and tenant in pieces:
                standing = await books.ledger.standing(tenant, await books.filed(tenant), at)
                pieces[tenant].allowance = standing.allowance
                self._known_ms[tenant] = at

    async def _bury(self, at: int, step: int) -> None:
        """Give back the slices of replicas that are gone. What they granted and did not book, nobody can prove any more."""
        ledger, mine = self._books.ledger, {piece.key for piece in self._slices.open.values()}
        found = [(hold.name, hold.run) for hold in await ledger.lapsed(at_ms=at, most=MOST)]
        was = self._alone
        self._alone = {key: was[key] + step if key in was else 0 for key in found if key not in mine}
        for key, alone in list(self._alone.items()):
            if alone >= self._slices.rules.away_ms:
                await ledger.give_back(*key, at_ms=at, lapsed=True)
                del self._alone[key]
                log.warning("the slice of a replica that is gone was given back", extra={"slice": key[0]})


def name_of(replica: str) -> str:
    """Of a replica's slices; no video has such a name."""
    return f"slices/{replica}"


def ends(given: Allowance, at_ms: int) -> int:
    """When a slice that is leased now is due: with the shortest window that is limited, or the hour."""
    limited = [window for window in COUNTED if _binds(given, window)]
    hour = at_ms - at_ms % HOUR_MS + HOUR_MS
    return min([hour, *(calendar.end(window, at_ms) for window in limited)])


def _binds(given: Allowance, window: Window) -> bool:
    limit = given.budget.of(window)
    return limit is not None and not limit.soft
