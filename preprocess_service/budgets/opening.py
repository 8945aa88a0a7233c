"""Budgets as the service runs them: made of its settings, started, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..generator import Generator
from ..settings import Settings
from .books import Books
from .core import Filed
from .gate import Gate
from .ledger import Ledger
from .memory import MemoryLedger
from .reconciler import Chore, Reconciler
from .servicer import NoUsage, Usage, UsageServicer

SERVICE = "reelgate.preprocess.v1.UsageService"


@dataclass(kw_only=True)
class Budgets:
    """The ledger and what works with it. ``start`` inside the running loop; ``close`` once no stream is left."""

    books: Books
    gate: Gate
    reconciler: Reconciler
    servicer: UsageServicer
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


async def opened(settings: Settings, generator: Generator, filed: Callable[[str], Awaitable[Filed]]) -> Budgets | None:
    """None where the ledger is off. Raises ``ValueError`` for a ledger that cannot be."""
    if settings.ledger == "off":
        return None
    ledger, usage, chores = await _ledger(settings)
    books = Books(
        ledger=ledger,
        replica=settings.replica,
        filed=filed,
        grace_ms=round(settings.hold_grace_seconds * 1000),
        unknown_device_ms=settings.unknown_device_ms,
    )
    reconciler = Reconciler(books, generator, every_s=settings.reconcile_seconds, chores=chores)
    servicer = UsageServicer(books, usage)
    return Budgets(books=books, gate=Gate(books, generator, reconciler), reconciler=reconciler, servicer=servicer)


async def _ledger(settings: Settings) -> tuple[Ledger, Usage, tuple[Chore, ...]]:
    if settings.ledger == "memory":
        return MemoryLedger(), NoUsage(), ()
    raise ValueError("no SQL ledger yet")
