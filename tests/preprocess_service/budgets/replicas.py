"""Replicas of the real service over one ledger, in front of one small real generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preprocess_service.app import App, serving
from preprocess_service.budgets.books import clock
from preprocess_service.budgets.core import Budget, Filed, Limit, Price, Totals, Window
from preprocess_service.budgets.ledger import Ledger
from preprocess_service.budgets.opening import Keeping
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings
from preprocess_service.worker import Worker
from reelgate import Client, Event
from reelgate import values as v
from reelgate.rpc.errors import BudgetStoreUnavailableError
from reelgate.rpc.server import Server
from tests.preprocess_service.generator_twin import Twin, serve

PROMPT = "A red ball rolls to the left."
OTHER = "A blue ring rises."
LIVELY_S = 0.1
"""Of a replica's reconciler."""
NEVER_S = 3600.0
"""Of one that shall do nothing by itself."""


class Link:
    """What lies between a replica and its ledger; ``down``: nothing gets through. A replica that is killed leaves just that.

    ``answers``: while it is clear, what was written stays unanswered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.down = ledger, False
        self.answers = asyncio.Event()
        self.answers.set()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._ledger, name)

        async def through(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if name == "close":
                return None  # it is the test's
            if self.down:
                raise BudgetStoreUnavailableError("the ledger cannot be reached")
            answer = await call(*args, **options)
            await self.answers.wait()
            return answer

        return through


@dataclass(kw_only=True)
class Replica:
    """One preprocess_service and a client of it."""

    app: App
    client: Client
    books: Link

    async def generate(self, prompt: str = PROMPT, **options: Any) -> list[Event]:
        """All events; the last has the bill."""
        async with aclosing(self.client.generate(prompt, timeout=20, **options)) as events:
            return [event async for event in events]

    async def video(self, prompt: str = PROMPT, **options: Any) -> v.Video:
        last = (await self.generate(prompt, **options))[-1]
        assert isinstance(last, v.Video)
        return last


@dataclass(kw_only=True)
class House:
    """The ledger and the generator that all replicas share."""

    ledger: Ledger
    twin: Twin
    server: Server
    line: Line
    prices: dict[str, Price] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    async def books(self, tenant: str = "local") -> Totals:
        """What is held, charged and overrun this month; the books agree with themselves."""
        assert await self.ledger.drift() == ()
        return (await self.ledger.standing(tenant, Filed(), clock())).totals.get(Window.MONTH, Totals())

    async def open_holds(self, tenant: str = "local") -> int:
        return (await self.ledger.standing(tenant, Filed(), clock())).open_holds

    async def limit(self, *limits: Limit, **fields: Any) -> None:
        """Everybody's budget."""
        await self.ledger.set_budget("local", Budget(limits=limits, **fields), by="test", at_ms=clock())

    @asynccontextmanager
    async def replica(
        self,
        *,
        every_s: float = LIVELY_S,
        grace_s: float = 60.0,
        tenants: Path | None = None,
        free: bool = False,
        url: str = "off",
        **options: Any,
    ) -> AsyncIterator[Replica]:
        """``free``: it keeps no books but those of ``url``, which it opens itself."""
        settings = Settings(
            address="127.0.0.1:0",
            generator=f"127.0.0.1:{self.server.port}",
            probe_seconds=0.05,
            drain_seconds=0.2,
            reconcile_seconds=every_s,
            hold_grace_seconds=grace_s,
            tenants=tenants,
            ledger=url,
            **options,
        )
        books: Any = Link(self.ledger)
        keeping = Keeping(
            ledger=books,
            prices=lambda tier, at_ms: self.prices.get(tier, Price()),
            flags=lambda tenant, receipt, at_ms: self.flags,
        )
        async with serving(settings, {"embedded": self.line}, Worker(queue=8), None if free else keeping) as app:
            await asyncio.wait_for(app.ready.wait(), 10)
            async with Client(f"127.0.0.1:{app.server.port}") as client:
                yield Replica(app=app, client=client, books=books)


@asynccontextmanager
async def housed(ledger: Ledger, line: Line) -> AsyncIterator[House]:
    twin = Twin({"embedded": line.tokenizer.fingerprint})
    house = House(ledger=ledger, twin=twin, server=await serve(twin), line=line)
    try:
        yield house
    finally:
        await twin.close()
        await house.server.stop()


def journals(folder: Path) -> list[Path]:
    """Those of replicas that live, and of such that left something behind."""
    return sorted(folder.rglob("*.jsonl"))


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for something that another task brings about; ``condition`` may be a coroutine function."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)
