"""Every hold ends: what nobody looks after any more is asked of the generator, and settled or released by its answer.

Every replica runs one. Whoever claims a hold first asks; that two ask at once does no harm, since ending a hold twice does nothing.
A hold ends on a terminal answer alone. While the generator or the ledger cannot be reached, it stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.rpc.errors import NotFoundError, ReelgateError

from ..generator import Generator
from . import bills, facts
from .books import Books
from .core import Amount, Bill, Cause, Hold, Settled

log = logging.getLogger(__name__)
MOST = 128
"""Holds of one round."""
AT_ONCE = 8
LOOK_S = 5.0
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chore:
    """Something else that is to be done every so often: sealing, sending what is in the outbox."""

    name: str
    every_s: float
    do: Callable[[], Awaitable[object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A hold whose stream is gone. ``bill``: it is known how it ended; None: the generator knows."""

    hold: Hold
    bill: Bill | None = None


class Reconciler:
    """`watch` while a stream lives, `hand_over` when it is gone; `run` for as long as the service does."""

    def __init__(self, books: Books, generator: Generator, *, every_s: float, chores: Iterable[Chore] = ()) -> None:
        self._books, self._generator, self._every_s = books, generator, every_s
        self._chores = tuple(chores)
        self._lease_ms = round(3000 * every_s)
        self._watched: Counter[Key] = Counter()
        self._left: deque[Left] = deque()
        self._round_of: list[Key] = []
        """Handed over or claimed in the last round."""
        self._wake = asyncio.Event()
        self.rounded_ms = books.now()
        """When a round was last done; at first when it was made."""

    def watch(self, hold: Hold) -> None:
        """A stream looks after it, until it is handed over or forgotten. Streams of one run each count."""
        self._watched[hold.name, hold.run] += 1

    def forget(self, hold: Hold) -> None:
        """A stream has ended that hold."""
        key = (hold.name, hold.run)
        self._watched[key] -= 1
        if self._watched[key] <= 0:
            del self._watched[key]

    def hand_over(self, hold: Hold, bill: Bill | None = None) -> None:
        """A stream is gone and its hold may be open: looked at at once."""
        self.forget(hold)
        self._left.append(Left(hold=hold, bill=bill))
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled; then other replicas may go on at once with what this one looked after."""
        tasks = [self._forever("renew", self._every_s, self._renew), self._rounds()]
        tasks += [self._forever(chore.name, chore.every_s, chore.do) for chore in self._chores]
        try:
            await asyncio.gather(*tasks)
        finally:
            await self._release()

    async def look(self, hold: Hold, *, refused: bool = False) -> Settled | None:
        """Ask for the run of ``hold`` and end it where it has ended; None: it stays open. ``refused``: the generator said so.

        Raises ``ReelgateError`` where generator or ledger cannot be reached.
        """
        try:
            video = await self._generator.get(hold.name, hold.tenant, hold.run, within=LOOK_S)
        except NotFoundError as error:
            if not error.answered:
                raise
            return await self._unknown(hold, refused=refused)
        if video.run != hold.run:
            log.error("the generator tells of another run", extra={"video": hold.name, "run": hold.run})
            return None
        if video.state not in facts.CAUSES:
            await self._goes_on(hold, video)
            return None
        return await self._books.settle(hold, facts.bill_of(video, hold), facts.ended_ms(video))

    async def _unknown(self, hold: Hold, *, refused: bool) -> Settled | None:
        """The generator knows no such run. Its request may still be on the way, so the run is forbidden before its hold is given up."""
        if refused:
            return await self._books.settle(hold, bills.bill(Cause.REFUSED, tokens=0))
        if self._books.now() - hold.at_ms < self._books.grace_ms:
            return None
        never = bills.bill(Cause.NEVER_BEGAN, tokens=0)
        try:
            video = await self._generator.cancel(hold.name, hold.tenant, hold.run, within=LOOK_S)
        except NotFoundError as error:
            if not error.answered:
                raise
            return await self._books.settle(hold, never)
        if video.state not in facts.CAUSES:
            return None
        bill = facts.bill_of(video, hold)
        return await self._books.settle(hold, never if bill.measured == Amount() else bill)

    async def _goes_on(self, hold: Hold, video: gpb.Video) -> None:
        if video.progress.device_ms > hold.amount.device_ms:
            to = Amount(tokens=hold.amount.tokens, device_ms=video.progress.device_ms)
            filed = await self._books.filed(hold.tenant)
            await self._books.ledger.extend(hold.name, hold.run, to, filed, self._books.now())

    async def _rounds(self) -> None:
        while True:
            self._wake.clear()
            try:
                more = await self._round()
                self.rounded_ms = self._books.now()
            except ReelgateError as error:
                log.warning("holds wait", extra={"reason": error.reason})
                more = False
            except Exception:
                log.exception("a round of the reconciler failed")
                more = False
            if more:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every_s)

    async def _round(self) -> bool:
        """What was handed over, then what nobody looks after; whether there is more."""
        handed = [self._left.popleft() for _ in range(min(MOST, len(self._left)))]
        self._round_of = [(left.hold.name, left.hold.run) for left in handed]
        await self._each(partial(self._ended, left) for left in handed)
        # Nobody needs to ask again before the next round, which is anybody's.
        at, for_ms = self._books.now(), round(self._every_s * 1000) // 2
        claimed = await self._books.ledger.claim(self._books.replica, at_ms=at, for_ms=for_ms, most=MOST)
        self._round_of += [(hold.name, hold.run) for hold in claimed]
        alone = [hold for hold in claimed if (hold.name, hold.run) not in self._watched]
        await self._each(partial(self.look, hold) for hold in alone)
        # What could not be ended just now waits for the next round.
        return any(left not in handed for left in self._left) or len(claimed) == MOST

    async def _ended(self, left: Left) -> None:
        """Where it has not ended, it is anybody's from now on: this replica may be about to stop."""
        hold = left.hold
        try:
            if left.bill is not None:
                await self._books.settle(hold, left.bill)
                return
            if await self.look(hold) is not None:
                return
        except ReelgateError as error:
            log.warning("a hold waits", extra={"reason": error.reason, "run": hold.run})
            if left.bill is not None:
                self._left.append(left)  # nobody else knows how it ended
        await self._give([(hold.name, hold.run)])

    async def _each(self, work: Iterable[Callable[[], Awaitable[object]]]) -> None:
        """All of it, few at a time. Where one cannot be done the others may be: the first error is told, they are claimed again."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(each: Callable[[], Awaitable[object]]) -> None:
            async with room:
                await each()

        for result in await asyncio.gather(*map(one, work), return_exceptions=True):
            if isinstance(result, ReelgateError):
                log.warning("a hold waits", extra={"reason": result.reason})
            elif isinstance(result, Exception):
                log.error("a hold could not be looked at", exc_info=result)

    async def _renew(self) -> None:
        if self._watched:
            books = self._books
            await books.ledger.renew(books.replica, list(self._watched), at_ms=books.now(), for_ms=self._lease_ms)

    async def _release(self) -> None:
        """What this replica looked after is free to be claimed from now on."""
        with suppress(ReelgateError):
            left = [(left.hold.name, left.hold.run) for left in self._left]
            await self._give([*self._watched, *self._round_of, *left])

    async def _give(self, keys: list[Key]) -> None:
        if keys:
            await self._books.ledger.renew(self._books.replica, keys, at_ms=self._books.now(), for_ms=0)

    async def _forever(self, name: str, every_s: float, do: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await do()
            except ReelgateError as error:
                log.warning("put off", extra={"chore": name, "reason": error.reason})
            except Exception:
                log.exception("a chore failed", extra={"chore": name})
