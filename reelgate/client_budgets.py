"""The client's calls of UsageService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from reelgate import budgets as b
from reelgate import convert_budgets as convert
from reelgate.holding import message
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import UnavailableError
from reelgate.rpc.status import typed_errors

if TYPE_CHECKING:
    from reelgate.preprocess.v1.preprocess_pb2_grpc import UsageServiceAsyncStub

CALL_SECONDS = 30.0


class UnreachableError(UnavailableError):
    """Nobody answers at the address, or the connection broke."""

    next_step = "See whether the service runs (`reelgate health HOST:PORT`); `reelgate up` starts it on this machine."


class BudgetCalls:
    """Part of `Client`."""

    _usage: UsageServiceAsyncStub

    async def budget(self, tenant: str = "", *, timeout: float | None = CALL_SECONDS) -> b.Standing:
        """A tenant's budget as it stands; empty: one's own. Another's, and "*" (everybody's default), need the role "admin"."""
        request = message(pb.GetBudgetRequest, tenant=tenant)
        with typed_errors(UnreachableError):
            return convert.standing(await self._usage.GetBudget(request, timeout=timeout))

    async def set_budget(
        self,
        tenant: str,
        change: b.Budget | b.Raise | None,
        *,
        expected_version: int | None = None,
        timeout: float | None = CALL_SECONDS,
    ) -> b.Standing:
        """Replace the budget of ``tenant``, add a raise to it, or (None) take away what was set. Role "admin".

        Raises ``BudgetChangedError`` where the version is not ``expected_version`` any more, and ``BudgetSetByFileError``.
        """
        request = message(pb.SetBudgetRequest, tenant=tenant, expected_version=expected_version)
        if isinstance(change, b.Budget):
            request.budget.CopyFrom(convert.budget_message(change))
        elif isinstance(change, b.Raise):
            getattr(request, "raise").CopyFrom(convert.raise_message(change))
        else:
            request.remove = True
        with typed_errors(UnreachableError):
            return convert.standing((await self._usage.SetBudget(request, timeout=timeout)).budget)

    async def usage(
        self,
        tenant: str = "",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        bucket: str = "day",
        group_by: Sequence[str] = (),
        tier: str = "",
        policy: str = "",
        timeout: float | None = CALL_SECONDS,
    ) -> AsyncGenerator[b.UsageRow, None]:
        """What was spent and saved in [start, end), row by row, over all pages; by default of this month until now, by day.

        ``group_by``: any of tenant, tier and policy; empty: all three. Another's usage, and "*" (all), need the role "admin".
        """
        request = message(
            pb.QueryUsageRequest, tenant=tenant, bucket=bucket, group_by=group_by, tier=tier, policy=policy
        )
        if start is not None:
            request.start_time.CopyFrom(convert.stamp(start))
        if end is not None:
            request.end_time.CopyFrom(convert.stamp(end))
        while True:
            with typed_errors(UnreachableError):
                page = await self._usage.QueryUsage(request, timeout=timeout)
            for row in page.rows:
                yield convert.usage_row(row)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
