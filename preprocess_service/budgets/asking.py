"""From a prepared request to the reservation that is asked for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import GeneratorUnavailableError

from ..generator import Generator
from .books import Books
from .core import Amount, Ask, Window
from .refusing import throttled

ESTIMATE_S = 5.0
"""A request whose cost is not known cannot be admitted, so it waits longer for the answer than a dry run does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """Makes the `Ask` of a request."""

    books: Books
    generator: Generator

    async def ask(self, request: gpb.GenerateVideoRequest, made: pb.PreparedPrompt, request_id: str) -> Ask:
        """Asks the generator which video ``request`` would be, and what it would take; ``made.cost`` is completed by that.

        Raises what the generator refuses, ``GeneratorUnavailableError`` where it cannot tell, and ``RateLimitedError`` where the
        tenant's use is abnormal and its budget throttles then.
        """
        told = await self.generator.estimate(estimate_request(request), within=ESTIMATE_S)
        if not told.name:
            raise GeneratorUnavailableError("the generator names no videos: it is too old for budgets")
        complete(made.cost, told)
        return await self.of(told, request, made, request_id)

    async def of(
        self,
        told: gpb.EstimateVideoResponse,
        request: gpb.GenerateVideoRequest,
        made: pb.PreparedPrompt | pb.PreparePromptResponse,
        request_id: str = "",
    ) -> Ask:
        """The same, once the generator has told."""
        at, receipt = self.books.now(), made.receipt
        flags = self.books.flags(request.tenant, receipt, at)
        if flags:
            await self._throttle(request.tenant, flags, at)
        return Ask(
            tenant=request.tenant,
            name=told.name,
            run=told.run if told.state == gpb.VIDEO_STATE_RUNNING else new_run(),
            amount=Amount(tokens=made.cost.tokens, device_ms=await self._device_ms(told, request.tenant, at)),
            at_ms=at,
            request_id=request_id,
            tier=receipt.tier,
            policy=receipt.policy,
            tokens_saved=receipt.tokens_before - receipt.tokens_after,
            prepare_us=prepared_us(receipt),
            flags=flags,
        )

    async def _device_ms(self, told: gpb.EstimateVideoResponse, tenant: str, at_ms: int) -> int:
        if told.state == gpb.VIDEO_STATE_DONE:
            return 0
        if told.HasField("device_ms_p95"):
            return told.device_ms_p95
        if self.books.unknown_device_ms is not None:
            return self.books.unknown_device_ms
        standing = await self.books.ledger.standing(tenant, await self.books.filed(tenant), at_ms)
        budget = standing.allowance.budget
        if budget.shadow or all(limit is None or limit.device_ms is None for limit in map(budget.of, Window)):
            return 0  # nothing bounds it: what the run takes is charged, since a hold grows while there is room
        raise GeneratorUnavailableError("no device time was measured for this tier yet, and this budget limits it")

    async def _throttle(self, tenant: str, flags: tuple[str, ...], at_ms: int) -> None:
        standing = await self.books.ledger.standing(tenant, await self.books.filed(tenant), at_ms)
        budget = standing.allowance.budget
        if budget.throttle and not budget.shadow:
            error = throttled(tenant, flags)
            self.books.figures.throttled(tenant)
            self.books.figures.refused(tenant, error.reason)
            raise error


def new_run() -> str:
    """32 hex digits."""
    return uuid.uuid4().hex


def estimate_request(request: gpb.GenerateVideoRequest) -> gpb.EstimateVideoRequest:
    return gpb.EstimateVideoRequest(
        settings=request.settings,
        post_processing=request.post_processing,
        tenant=request.tenant,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt if request.HasField("negative_prompt") else None,
    )


def complete(cost: pb.CostEstimate, told: gpb.EstimateVideoResponse) -> None:
    """Fill the device time in, where it is known."""
    if told.HasField("device_ms_p50") and told.HasField("device_ms_p95"):
        cost.device_ms_p50, cost.device_ms_p95 = told.device_ms_p50, told.device_ms_p95


def prepared_us(receipt: pb.Receipt) -> int:
    """What preparing it took. A receipt out of the cache tells the times of the prompt that was prepared first: nothing was spent."""
    return 0 if receipt.cache == pb.CACHE_RESULT_HIT else sum(stage.duration_us for stage in receipt.stages)
