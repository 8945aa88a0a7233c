"""Budgets as the service runs them: made of its settings, started, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..generator import Generator
from ..settings import Settings, data_folder
from .abnormal import Abnormal
from .books import Books, Flags, Prices, clock, free, ordinary
from .core import Amount, Filed
from .counting import Recent, Waiting, age, counting, learn, nothing_known
from .figures import BudgetFigures
from .gate import Gate
from .journal import Journal
from .ledger import Ledger
from .memory import MemoryLedger
from .prices import load
from .reconciler import Chore, Reconciler
from .servicer import NoUsage, Usage, UsageServicer
from .slices import SliceRules, Slices
from .tending import Tending

if TYPE_CHECKING:
    from .sinks import Sink

SEAL_S = 10.0
"""Between seals. An entry can be changed unseen only until it is sealed, and a seal costs as much for many entries as for one."""
Close = Callable[[], Awaitable[None]]
SUMS_S = 600.0
"""What adding up all of the books may take."""
LOOK_S = 30.0
"""What an answer to QueryUsage may take. It has connections of its own: a long look at a year is no sign that the ledger is down."""
SERVICE = "reelgate.preprocess.v1.UsageService"


@dataclass(kw_only=True)
class Budgets:
    """The ledger and what works with it. ``start`` inside the running loop; ``close`` once no stream is left."""

    books: Books
    gate: Gate
    reconciler: Reconciler
    servicer: UsageServicer
    recent: Recent = nothing_known
    tending: Tending | None = None
    also: tuple[Close, ...] = ()
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to look after holds, those of the process before too."""
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await learn(self.books.abnormal, self.recent)
        await self.reconciler.run()

    async def close(self) -> None:
        """Leave what is open to other replicas, and close the ledger."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        if self.tending is not None:
            await self.tending.close()
        for close in self.also:
            await close()
        await self.books.ledger.close()


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What keeps the books: a ledger, who answers queries of it, and what it wants done every so often."""

    ledger: Ledger
    usage: Usage = field(default_factory=NoUsage)
    chores: tuple[Chore, ...] = ()
    prices: Prices = free
    flags: Flags = ordinary
    recent: Recent = nothing_known
    """What the books say of the last days."""
    waiting: Waiting | None = None
    """How many settlements are to be told, and were given up."""
    also: tuple[Close, ...] = ()
    """What else is to be closed with it."""


def opened(
    settings: Settings,
    generator: Generator,
    filed: Callable[[str], Awaitable[Filed]],
    keeping: Keeping | None,
    figures: BudgetFigures | None = None,
    abnormal: Abnormal | None = None,
) -> Budgets | None:
    """None where no books are kept."""
    if keeping is None:
        return None
    figures = figures or BudgetFigures()
    watch = abnormal or Abnormal(figures.raised)

    async def signals(tenant: str) -> tuple[str, ...]:
        return watch.judge(tenant, clock())

    books = Books(
        ledger=keeping.ledger,
        replica=settings.replica,
        filed=filed,
        prices=keeping.prices,
        flags=keeping.flags
        if keeping.flags is not ordinary
        else lambda tenant, receipt, at_ms: watch.judge(tenant, at_ms),
        figures=figures,
        abnormal=watch,
        grace_ms=round(settings.hold_grace_seconds * 1000),
        unknown_device_ms=settings.unknown_device_ms,
        slices=_slices(settings, figures),
    )
    chores = (*keeping.chores, *counting(books, keeping.waiting))
    tending = None
    if books.slices is not None:
        tending = Tending(books, books.slices, every_s=settings.reconcile_seconds)
        chores += (Chore(name="slices", every_s=settings.reconcile_seconds, do=tending.tend),)
    reconciler = Reconciler(books, generator, every_s=settings.reconcile_seconds, chores=chores)
    age(books, reconciler)
    return Budgets(
        books=books,
        gate=Gate(books, generator, reconciler),
        reconciler=reconciler,
        servicer=UsageServicer(books, keeping.usage, signals),
        recent=keeping.recent,
        tending=tending,
        also=keeping.also,
    )


def _slices(settings: Settings, figures: BudgetFigures) -> Slices | None:
    """None where nothing may be spent without the ledger. Raises ``OSError`` where the journal cannot be kept."""
    if not settings.degraded_tokens:
        return None
    rules = SliceRules(
        amount=Amount(tokens=settings.degraded_tokens, device_ms=settings.degraded_device_ms),
        tenants=settings.degraded_tenants,
        quiet_ms=round(settings.degraded_quiet_seconds * 1000),
        away_ms=round(settings.degraded_away_seconds * 1000),
    )
    folder = settings.degraded_folder or data_folder() / "degraded"
    try:
        journal = Journal(folder, settings.replica)
    except OSError as error:
        raise OSError(
            f"the journal of degraded grants cannot be kept in {folder} ({error.strerror}): "
            "set REELGATE_PREPROCESS_DEGRADED_FOLDER to a folder that the service can write"
        ) from error
    return Slices(rules=rules, journal=journal, figures=figures)


async def keeping(settings: Settings) -> Keeping | None:
    """The books of the settings; None where they are off. Raises ``ValueError`` for a ledger, a price table or a target of events that
    cannot be."""
    if settings.ledger == "off":
        return None
    prices = load(settings.prices).at
    if settings.ledger != "memory":
        return await _sql(settings, prices)
    if settings.events:
        raise ValueError("events are told out of a database: choose another ledger than memory")
    return Keeping(ledger=MemoryLedger(), prices=prices)


async def _sql(settings: Settings, prices: Prices) -> Keeping:
    # Imported only where it is needed: a service without books need not have SQLAlchemy in memory.
    from .database import Database, address
    from .migrations import migrate
    from .outbox import Outbox
    from .seals import seal_all
    from .seeding import recent
    from .sql import SqlLedger
    from .usage import UsageQueries

    sink = _sink(settings) if settings.events else None  # what cannot be is refused before anything is opened
    url = address(settings.ledger)
    if url.database and url.get_backend_name() == "sqlite":
        await asyncio.to_thread(Path(url.database).parent.mkdir, parents=True, exist_ok=True)
    await migrate(settings.ledger)
    database = Database(settings.ledger, wait_s=settings.ledger_timeout_ms / 1000)
    looks = Database(settings.ledger, wait_s=LOOK_S, size=2)
    sums = Database(settings.ledger, wait_s=SUMS_S, size=1)
    chores, also = [Chore(name="seal", every_s=SEAL_S, do=partial(seal_all, database))], [looks.close]
    waiting: Waiting | None = None
    if sink is not None:
        outbox = Outbox(database, sink, source=settings.events_source, tries=settings.events_tries)
        chores.append(Chore(name="events", every_s=settings.events_seconds, do=outbox.drain))
        also.insert(0, outbox.close)
        waiting = outbox.waiting
    return Keeping(
        ledger=SqlLedger(database, outbox=sink is not None, looks=sums),
        usage=UsageQueries(looks),
        chores=tuple(chores),
        prices=prices,
        recent=lambda: recent(looks, clock()),
        waiting=waiting,
        also=tuple(also),
    )


def _sink(settings: Settings) -> Sink:
    from .sinks import sink_of

    secret = settings.events_secret.get_secret_value()
    return sink_of(settings.events, secret=secret, timeout_s=settings.events_timeout_seconds)
