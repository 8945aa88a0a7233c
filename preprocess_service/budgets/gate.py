"""How a video is paid for: estimate, reserve, forward, see who pays, extend, settle.

Whatever ends otherwise than with the video is left to the reconciler, which asks the generator: from an error alone nobody knows what
became of a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import BudgetStoreUnavailableError, GeneratorUnavailableError, ReelgateError

from ..generator import Generator
from . import messages
from .asking import Asking, complete, estimate_request
from .books import Books
from .core import Amount, Ask, Decision
from .reconciler import Reconciler
from .visit import OrphanedError, Visit

TRIES = 3
Events = AsyncGenerator[gpb.GenerateVideoResponse, None]


class Gate:
    """Between a prepared request and the generator."""

    def __init__(self, books: Books, generator: Generator, reconciler: Reconciler) -> None:
        self._books, self._generator, self._reconciler = books, generator, reconciler
        self._asking = Asking(books=books, generator=generator)
        # A request that was not taken up by then is not taken up later than its hold is kept.
        self._accept_s = books.grace_ms / 2000

    async def generate(
        self, request: gpb.GenerateVideoRequest, made: pb.PreparedPrompt, request_id: str
    ) -> AsyncGenerator[pb.GenerateVideoResponse, None]:
        """What `PreprocessService.GenerateVideo` answers. Nothing is forwarded that nothing is held for."""
        for attempt in range(TRIES):
            visit = Visit(
                self._books, self._generator, self._reconciler, await self._asking.ask(request, made, request_id)
            )
            try:
                self._say(made, visit.ask, await visit.reserve())
                if not attempt:
                    yield pb.GenerateVideoResponse(prepared=made)
                async with aclosing(self._forward(request, visit)) as events:
                    async for event in events:
                        yield await self._passed(event, visit)
                return
            except OrphanedError:
                continue
            except ReelgateError as error:
                if not await visit.again(error):
                    raise
            finally:
                visit.leave()
        raise GeneratorUnavailableError("the request was taken up too late, and was stopped")

    async def verdict(self, request: gpb.GenerateVideoRequest, answer: pb.PreparePromptResponse) -> pb.BudgetVerdict:
        """What the ledger would say now; nothing is held. Where the generator cannot tell, tokens alone are asked for."""
        try:
            told = await self._generator.estimate(estimate_request(request))
        except ReelgateError:
            told = gpb.EstimateVideoResponse(device_ms_p95=answer.cost.device_ms_p95)
        else:
            complete(answer.cost, told)
        try:
            ask = await self._asking.of(told, request, answer)
        except BudgetStoreUnavailableError:
            raise
        except ReelgateError as error:
            return pb.BudgetVerdict(reason=error.reason)
        return messages.verdict_of(await self._books.ledger.would(ask, await self._books.filed(ask.tenant)), ask.flags)

    def price(self, cost: pb.CostEstimate, tier: str) -> None:
        """Fill in what ``cost`` is at most, where a price is set."""
        price = self._books.prices(tier, self._books.now())
        amount = Amount(tokens=cost.tokens, device_ms=cost.device_ms_p95)
        if money := messages.money(price, amount):
            cost.price.CopyFrom(money)

    def _say(self, made: pb.PreparedPrompt, ask: Ask, decision: Decision) -> None:
        made.budget.CopyFrom(messages.verdict_of(decision, ask.flags))
        self.price(made.cost, made.receipt.tier)
        if decision.fresh and decision.hold is not None:
            cost, hold = made.cost, decision.hold
            self._books.figures.expected(hold.name, hold.run, cost.device_ms_p50, cost.device_ms_p95)

    async def _forward(self, request: gpb.GenerateVideoRequest, visit: Visit) -> Events:
        """The generator's events. The first comes in time or not at all."""
        request.run = visit.run
        visit.sending()
        async with aclosing(self._generator.generate(request)) as events:
            try:
                async with asyncio.timeout(self._accept_s):
                    first = await anext(events, None)
            except TimeoutError:
                raise GeneratorUnavailableError("the generator did not take the request up in time") from None
            if first is not None:
                yield first
            async for event in events:
                yield event

    async def _passed(self, event: gpb.GenerateVideoResponse, visit: Visit) -> pb.GenerateVideoResponse:
        """The event as the client gets it, once the books know of it."""
        if event.HasField("accepted"):
            await visit.accepted(event.accepted)
            return pb.GenerateVideoResponse(accepted=event.accepted)
        if event.HasField("progress"):
            await visit.progress(event.progress)
            return pb.GenerateVideoResponse(progress=event.progress)
        return pb.GenerateVideoResponse(video=event.video, bill=await visit.done(event.video))
