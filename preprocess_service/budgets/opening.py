"""Budgets as the service runs them: made of its settings, started, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..generator import Generator
from ..settings import Settings
from .books import Books, Flags, Prices, free, ordinary
from .core import Filed
from .gate import Gate
from .ledger import Ledger
from .memory import MemoryLedger
from .prices import load
from .reconciler import Chore, Reconciler
from .servicer import NoUsage, Usage, UsageServicer

SEAL_S = 10.0
"""Between seals. An entry can be changed unseen only until it is sealed, and a seal costs as much for many entries as for one."""
LOOK_S = 30.0
"""What an answer to QueryUsage may take."""
EVENTS_S = 1.0
"""Between looks for settlements that were not told yet."""
SERVICE = "reelgate.preprocess.v1.UsageService"


@dataclass(kw_only=True)
class Budgets:
    """The ledger and what works with it. ``start`` inside the running loop; ``close`` once no stream is left."""

    books: Books
    gate: Gate
    reconciler: Reconciler
    servicer: UsageServicer
    closes: tuple[Callable[[], Awaitable[None]], ...] = ()
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to look after holds, those of the process before too."""
        self._running = asyncio.create_task(self.reconciler.run())

    async def close(self) -> None:
        """Leave what is open to other replicas, and close the ledger."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self.books.ledger.close()
        for close in self.closes:
            await close()


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What keeps the books: a ledger, who answers queries of it, and what it wants done every so often."""

    ledger: Ledger
    usage: Usage = field(default_factory=NoUsage)
    chores: tuple[Chore, ...] = ()
    prices: Prices = free
    flags: Flags = ordinary
    closes: tuple[Callable[[], Awaitable[None]], ...] = ()
    """What else is to be closed with it."""


def opened(
    settings: Settings, generator: Generator, filed: Callable[[str], Awaitable[Filed]], keeping: Keeping | None
) -> Budgets | None:
    """None where no books are kept."""
    if keeping is None:
        return None
    books = Books(
        ledger=keeping.ledger,
        replica=settings.replica,
        filed=filed,
        prices=keeping.prices,
        flags=keeping.flags,
        grace_ms=round(settings.hold_grace_seconds * 1000),
        unknown_device_ms=settings.unknown_device_ms,
    )
    reconciler = Reconciler(books, generator, every_s=settings.reconcile_seconds, chores=keeping.chores)
    servicer = UsageServicer(books, keeping.usage)
    return Budgets(
        books=books,
        gate=Gate(books, generator, reconciler),
        reconciler=reconciler,
        servicer=servicer,
        closes=keeping.closes,
    )


async def keeping(settings: Settings) -> Keeping | None:
    """The books of the settings; None where they are off. Raises ``ValueError`` for a ledger that cannot be."""
    if settings.ledger == "off":
        return None
    prices = load(settings.prices).at
    if settings.ledger != "memory":
        return await _sql(settings, prices)
    if settings.events:
        raise ValueError("REELGATE_PREPROCESS_EVENTS needs a ledger in a database")
    return Keeping(ledger=MemoryLedger(), prices=prices)


async def _sql(settings: Settings, prices: Prices) -> Keeping:
    # Imported only where it is needed: a service without books need not have SQLAlchemy in memory.
    from .database import Database, address
    from .migrations import migrate
    from .outbox import Outbox
    from .seals import seal_all
    from .sinks import sink_of
    from .sql import SqlLedger
    from .usage import UsageQueries

    sink = sink_of(settings.events, secret=settings.events_secret) if settings.events else None
    url = address(settings.ledger)
    if url.database and url.get_backend_name() == "sqlite":
        await asyncio.to_thread(Path(url.database).parent.mkdir, parents=True, exist_ok=True)
    await migrate(settings.ledger)
    database = Database(settings.ledger, wait_s=settings.ledger_timeout_ms / 1000)
    chores = [Chore(name="seal", every_s=SEAL_S, do=partial(seal_all, database))]
    # A long look at a year has connections of its own: it is no sign that the ledger is down.
    looks = Database(settings.ledger, wait_s=LOOK_S, size=2)
    closes = [looks.close]
    if sink is not None:
        outbox = Outbox(database, sink, source=settings.events_source)
        chores.append(Chore(name="events", every_s=EVENTS_S, do=outbox.drain))
        closes.append(outbox.close)
    return Keeping(
        ledger=SqlLedger(database, outbox=sink is not None),
        usage=UsageQueries(looks),
        chores=tuple(chores),
        prices=prices,
        closes=tuple(closes),
    )
