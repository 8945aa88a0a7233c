"""One GenerateVideo and the hold that stands for it: who pays for the run that its stream shows."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import (
    AccessError,
    BudgetStoreUnavailableError,
    DeadlineExceededError,
    GeneratorUnavailableError,
    NotBuiltError,
    QueueFullError,
    QuotaError,
    ReelgateError,
    RequestError,
    VideoCancelledError,
)

from ..generator import Generator
from . import bills, facts, messages
from .asking import new_run
from .books import Books
from .core import NOTHING, Amount, Ask, Bill, Cause, Decision, Hold, Settled, State
from .reconciler import LOOK_S, Reconciler
from .refusing import error_of

log = logging.getLogger(__name__)
PROOFS = (RequestError, AccessError, QuotaError, QueueFullError, NotBuiltError)
"""Refusals of the generator that prove by themselves that it began nothing. After any other it is asked."""
NEVER_RAN = frozenset({Cause.NEVER_BEGAN, Cause.REFUSED, Cause.JOINED})
MARGIN = 1.05
"""A hold is extended by this much more than the forecast, and not again before the forecast has grown by as much."""


class OrphanedError(Exception):
    """The run that the generator took up has a hold that was given up. It is stopped; the request may be sent again."""


class Visit:
    """``hold`` is the one that this stream looks after: its own, that of the run that it joined, or one that has ended already."""

    def __init__(self, books: Books, generator: Generator, reconciler: Reconciler, ask: Ask) -> None:
        self._books, self._generator, self._reconciler = books, generator, reconciler
        self.ask = ask
        self.hold: Hold | None = None
        self._watching = False
        self._fresh = False
        """``hold`` was made for this call."""
        self._sent = False
        self._accepted: gpb.VideoAccepted | None = None
        self._failed = False
        """We or the generator ended the stream, not the client."""
        self._forecast, self._tried_ms = facts.Forecast(), 0

    @property
    def run(self) -> str:
        """The id to propose: of the run that the open hold stands for."""
        return self.hold.run if self.hold and self.hold.state is State.OPEN else self.ask.run

    async def reserve(self) -> Decision:
        """Raises the refusal, and ``BudgetStoreUnavailableError``."""
        decision = await self._reserve(self.ask)
        hold = decision.hold
        if hold is not None and hold.state is not State.OPEN and hold.run == self.ask.run:
            # The run that was under way a moment ago has ended: what comes now is the stored video, or another run.
            self.ask = replace(self.ask, run=new_run())
            decision = await self._reserve(self.ask)
        if decision.hold is None:
            raise error_of(decision.refusals, self.ask.tenant, self.ask.at_ms)
        self._hold(decision.hold, fresh=decision.fresh)
        if not decision.fresh:
            await self._look_after(decision.hold)
        return decision

    def sending(self) -> None:
        """From now on the generator may have the request."""
        self._sent = True

    async def accepted(self, said: gpb.VideoAccepted) -> None:
        """Find out who pays for the run that the generator names, before the client hears of it.

        Raises `OrphanedError`, the refusal where nothing can be held for a run that nothing is held for, ``ReelgateError``.
        """
        self._accepted = said
        if said.cached:
            return  # `done` charges it, once the video is there, or `leave`
        if not said.run:
            raise GeneratorUnavailableError("the generator names no runs: it is too old for budgets")
        held = self.hold
        if held is not None and (held.name, held.run) == (said.name, said.run):
            if self._is_sure(held):
                return
            fresh, hold = self._fresh, await self._books.find(said.name, said.run)
        else:
            await self._give_up(Cause.JOINED if said.attached else Cause.REFUSED)
            fresh, hold = False, await self._held_for(said)
            if hold is not None:
                await self._follow(hold)
            else:
                fresh, hold = True, await self._reserve_for(said)
        if hold is None or hold.cause in NEVER_RAN:
            await self._generator.cancel(said.name, self.ask.tenant, said.run, within=LOOK_S)
            raise OrphanedError
        self._hold(hold, fresh=fresh)

    async def progress(self, progress: gpb.Progress) -> None:
        """Extend the hold where the run will outgrow it. What cannot be extended is not charged."""
        hold, predicted = self.hold, self._forecast.of(progress)
        if hold is None or hold.state is not State.OPEN or predicted <= max(hold.amount.device_ms, self._tried_ms):
            return
        self._tried_ms = round(predicted * MARGIN)
        to = Amount(tokens=hold.amount.tokens, device_ms=self._tried_ms)
        books = self._books
        try:
            grown = await books.ledger.extend(hold.name, hold.run, to, await books.filed(hold.tenant), books.now())
        except ReelgateError as error:
            log.warning("a hold was not extended", extra={"reason": error.reason, "run": hold.run})
            return
        self.hold = grown or hold

    async def done(self, video: gpb.Video) -> pb.Bill | None:
        """The bill of a finished run; None where the books cannot be reached: the reconciler settles then."""
        if self.hold is None:
            return None
        try:
            ended = await self._settle(self.hold, video)
        except ReelgateError as error:
            log.warning("settled later", extra={"reason": error.reason, "run": self.hold.run})
            return None
        if ended is None:
            return None
        self._let_go()
        if self._pays(ended.hold):
            return messages.bill_of(ended)
        return pb.Bill(cause=Cause.JOINED)

    async def again(self, error: ReelgateError) -> bool:
        """The stream ended so; whether the request is to be sent once more, since its hold was given up on its way.

        Where the generator itself answered so before it took the request up, what was held for that is released at once: the call is
        over, nothing can come of it later. A connection that broke proves nothing.
        """
        self._failed = not isinstance(error, DeadlineExceededError)
        if isinstance(error, VideoCancelledError) and await self._was_given_up():
            return True
        await self._refused(error)
        return False

    async def _refused(self, error: ReelgateError) -> None:
        hold = self.hold
        answered = error.answered and self._sent and self._accepted is None
        if not (answered and self._fresh and hold and hold.state is State.OPEN):
            return
        try:
            # A retry with the same id may have sent the same run meanwhile, and may have got through.
            if isinstance(error, PROOFS) and not hold.request_id:
                ended = await self._books.settle(hold, bills.bill(Cause.REFUSED, tokens=0))
            else:
                ended = await self._reconciler.look(hold, refused=True)
        except ReelgateError as trouble:
            log.warning("released later", extra={"reason": trouble.reason, "run": hold.run})
        else:
            if ended is not None:
                self._let_go()

    def leave(self) -> None:
        """The stream is over, however: what is still held is the reconciler's to end."""
        if self._watching and self.hold is not None:
            self._reconciler.hand_over(self.hold, self._known_end(self.hold))
            self._watching = False

    def _known_end(self, hold: Hold) -> Bill | None:
        """How ``hold`` ends although the stream broke off; None: only the generator knows."""
        said = self._accepted
        if self._fresh and not self._sent and not hold.request_id:
            return bills.bill(Cause.NEVER_BEGAN, tokens=0)
        if said is None or not said.cached or self._failed:
            return None
        if self._pays(hold) and (said.name, said.run) != (hold.name, hold.run):
            # Told that its video is there, it can fetch that at any time: hanging up now makes it no cheaper.
            return bills.bill(Cause.STORED, tokens=hold.amount.tokens)
        return None

    async def _was_given_up(self) -> bool:
        """The run was forbidden, and its hold released, while this request was on its way."""
        if self.hold is None or self._is_sure(self.hold):
            return False
        with suppress(BudgetStoreUnavailableError):
            found = await self._books.find(self.hold.name, self.hold.run)
            return found is not None and found.cause in NEVER_RAN
        return False

    async def _reserve(self, ask: Ask) -> Decision:
        return await self._books.reserve(ask)

    async def _held_for(self, said: gpb.VideoAccepted) -> Hold | None:
        """What is held for a run that is not ours. Without the ledger nobody knows: then it is held for out of the slice, and what the
        ledger knows of the run is found when that is booked."""
        try:
            return await self._books.find(said.name, said.run)
        except BudgetStoreUnavailableError:
            if self._books.slices is None:
                raise
            return None

    async def _follow(self, hold: Hold) -> None:
        """The request joined the run of ``hold``: sent again with its id it is answered from there, and pays nothing after all."""
        if not self.ask.request_id or hold.cause in NEVER_RAN:
            return
        ask, books = replace(self.ask, name=hold.name, run=hold.run), self._books
        try:
            await books.catch_up(ask)
            await books.ledger.reserve(ask, await books.filed(ask.tenant))  # finds it, and holds nothing
        except ReelgateError as error:
            log.warning("a request that joined a run is not linked to it", extra={"reason": error.reason})

    async def _reserve_for(self, said: gpb.VideoAccepted) -> Hold:
        """A hold for a run that nothing is held for. One that only we have asked for is stopped where there is no room for it."""
        paid = self.hold is not None and self.hold.state is not State.OPEN and self.hold.cause not in NEVER_RAN
        own_id = "" if paid or said.attached else self.ask.request_id
        ask = replace(self.ask, name=said.name, run=said.run, at_ms=self._books.now(), request_id=own_id)
        try:
            decision = await self._reserve(ask)
            if decision.hold is None:
                raise error_of(decision.refusals, ask.tenant, ask.at_ms)
        except ReelgateError:
            if not said.attached:
                await self._generator.cancel(said.name, ask.tenant, said.run, within=LOOK_S)
            raise
        self.ask = ask
        return decision.hold

    def _is_sure(self, hold: Hold) -> bool:
        """No reconciler can have given it up: it was made by us, and well within the grace (half of it is left to clocks that differ)."""
        return self._fresh and self._books.now() - hold.at_ms < self._books.grace_ms // 2

    async def _look_after(self, hold: Hold) -> None:
        """A hold that was found may be old: from now on no reconciler takes it for left alone."""
        books = self._books
        if hold.state is State.OPEN and books.local(hold.name, hold.run) is None:
            key = (hold.name, hold.run)
            await books.ledger.renew(books.replica, [key], at_ms=books.now(), for_ms=books.grace_ms)

    async def _settle(self, hold: Hold, video: gpb.Video) -> Settled | None:
        said = self._accepted
        if hold.state is not State.OPEN:
            return await self._books.settle(hold, Bill(cause=hold.cause or Cause.DONE))  # it stays as it ended
        if said is not None and said.cached:
            if (said.name, said.run) == (hold.name, hold.run):
                return await self._reconciler.look(hold)  # our own run, which ended before we asked
            if not self._pays(hold):
                return None
            saved = video.report.saved_device_ms
            return await self._books.settle(hold, bills.bill(Cause.STORED, tokens=hold.amount.tokens, saved_ms=saved))
        return await self._books.settle(hold, facts.bill_of(video, hold), facts.ended_ms(video))

    def _pays(self, hold: Hold) -> bool:
        """The hold is this request's own, be it from an earlier try."""
        return self._fresh or bool(hold.request_id and hold.request_id == self.ask.request_id)

    async def _give_up(self, cause: Cause) -> None:
        """Another run than the one that was held for: what was made for this call is released; what was found is not ours to end."""
        if self.hold is None:
            return
        if self._fresh and self.hold.state is State.OPEN:
            await self._books.settle(self.hold, Bill(cause=cause, due=NOTHING, measured=NOTHING))
            self._let_go()
            self._fresh = False
        elif self._watching:
            self._reconciler.hand_over(self.hold)
            self._watching = False

    def _hold(self, hold: Hold, *, fresh: bool) -> None:
        if self._watching and self.hold is not None:
            self._reconciler.forget(self.hold)
        self.hold, self._fresh = hold, fresh
        self._watching = hold.state is State.OPEN
        if self._watching:
            self._reconciler.watch(hold)

    def _let_go(self) -> None:
        """It has ended."""
        if self._watching and self.hold is not None:
            self._reconciler.forget(self.hold)
        self._watching = False
