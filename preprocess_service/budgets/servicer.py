"""UsageService: convert, call, convert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import UsageServiceServicer
from reelgate.rpc.errors import BudgetChangedError, BudgetSetByFileError, NotBuiltError
from reelgate.rpc.identity import ROLE_ADMIN, Identity, current_identity

from . import messages, rules
from .books import Books
from .core import ANYBODY

Context = Any
"""grpc.aio.ServicerContext; the errors and deadlines that it would be needed for are the interceptors'."""


class Usage(Protocol):
    """Who answers QueryUsage."""

    async def query(self, request: pb.QueryUsageRequest, identity: Identity) -> pb.QueryUsageResponse:
        """Raises ``InvalidFieldError``, ``RoleRequiredError`` and ``BudgetStoreUnavailableError``."""
        ...


class NoUsage:
    """A ledger that keeps no books to be queried: the one in memory."""

    async def query(self, request: pb.QueryUsageRequest, identity: Identity) -> pb.QueryUsageResponse:
        raise NotBuiltError("this ledger keeps no usage; one in a database does")


async def ordinary(tenant: str) -> tuple[str, ...]:
    """Nobody looks for abnormal use."""
    return ()


class UsageServicer(UsageServiceServicer):
    """``abnormal``: a tenant's signals of abnormal use as they are now."""

    def __init__(
        self, books: Books, usage: Usage, abnormal: Callable[[str], Awaitable[tuple[str, ...]]] = ordinary
    ) -> None:
        self._books, self._usage, self._abnormal = books, usage, abnormal

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Context) -> pb.GetBudgetResponse:
        identity = current_identity()
        tenant = request.tenant or identity.tenant
        if tenant != identity.tenant:
            identity.require(ROLE_ADMIN)
        rules.check_tenant(tenant)
        return await self._standing(tenant)

    async def SetBudget(self, request: pb.SetBudgetRequest, context: Context) -> pb.SetBudgetResponse:
        identity = current_identity()
        identity.require(ROLE_ADMIN)
        at = self._books.now()
        rules.check_change(request, at)
        await self._change(request, identity.tenant, at)
        return pb.SetBudgetResponse(budget=await self._standing(request.tenant))

    async def QueryUsage(self, request: pb.QueryUsageRequest, context: Context) -> pb.QueryUsageResponse:
        return await self._usage.query(request, current_identity())

    async def _change(self, request: pb.SetBudgetRequest, by: str, at_ms: int) -> None:
        ledger, tenant = self._books.ledger, request.tenant
        expected = request.expected_version if request.HasField("expected_version") else None
        if request.WhichOneof("change") == "raise":
            # Raises add up, so the version need not be looked at in the same breath.
            if expected is not None and (version := (await self._standing(tenant)).version) != expected:
                raise BudgetChangedError.of(version)
            more = messages.raise_of(getattr(request, "raise"))
            await ledger.add_raise(tenant, more, by=by, at_ms=at_ms)
            return
        filed, budget = await self._books.filed(tenant), None
        if request.WhichOneof("change") == "budget":
            if (filed.default if tenant == ANYBODY else filed.own) is not None:
                raise BudgetSetByFileError(f"the operator's files have the budget of {tenant}")
            budget = messages.budget_of(request.budget)
        # What is removed is what was set and raised here; the budget of a file stays the file's.
        await ledger.set_budget(tenant, budget, by=by, at_ms=at_ms, expected=expected)

    async def _standing(self, tenant: str) -> pb.GetBudgetResponse:
        standing = await self._books.ledger.standing(tenant, await self._books.filed(tenant), self._books.now())
        return messages.standing_of(standing, await self._abnormal(tenant))
