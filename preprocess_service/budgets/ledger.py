"""Who holds and who spent what: what every ledger does. `sql.py` keeps it in a database, `memory.py` in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .core import Amount, Ask, Bill, Budget, Decision, Filed, Hold, Price, Raise, Settled, Standing, Window


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """A window whose running totals are not what its holds and entries add up to; both in words."""

    tenant: str
    window: Window
    start_ms: int
    kept: str
    counted: str


class Ledger(Protocol):
    """All or nothing, each call: a crash in the middle of one leaves no trace of it. Safe for many callers and processes at once.

    For every counted window of every tenant, at any moment: limit = free + held + charged, and measured = charged + overrun.
    Every method raises ``BudgetStoreUnavailableError`` while the books cannot be reached.
    """

    async def reserve(self, ask: Ask, filed: Filed) -> Decision:
        """Hold in all windows, or in none.

        Found instead of made: the hold that the tenant's ``request_id`` leads to, while it is open or when it ended with a video under
        the same name; then the one of (``name``, ``run``), however it stands. A request id whose open hold has another name raises
        ``InvalidFieldError``; one whose hold ended otherwise leads to the new hold from now on.
        """
        ...

    async def would(self, ask: Ask, filed: Filed) -> Decision:
        """What `reserve` would answer now; nothing is held."""
        ...

    async def extend(self, name: str, run: str, to: Amount, filed: Filed, at_ms: int) -> Hold | None:
        """Grow an open hold towards ``to`` as far as there is room in the windows of its reservation, and under the limit of one
        request. The hold as it stands then; None where there is none."""
        ...

    async def settle(self, name: str, run: str, bill: Bill, price: Price, filed: Filed, at_ms: int) -> Settled | None:
        """End a hold: extended by what the bill wants more, while there is room, then charged at most what is held. One that has
        ended stays as it ended. None: there is no such hold."""
        ...

    async def find(self, name: str, run: str) -> Hold | None: ...

    async def claim(self, owner: str, *, at_ms: int, for_ms: int, most: int) -> tuple[Hold, ...]:
        """Open holds that nobody looks after at ``at_ms``, those first that were left alone for longest; ``owner`` looks after them for
        ``for_ms`` from now. The oldest comes first in the answer."""
        ...

    async def renew(self, owner: str, holds: Sequence[tuple[str, str]], *, at_ms: int, for_ms: int) -> None:
        """``owner`` goes on looking after these (name, run), slices too, or begins to."""
        ...

    async def lease(self, ask: Ask, filed: Filed, *, owner: str, for_ms: int) -> Hold | None:
        """A slice for a replica (``State.SLICE``): what is free of ``ask.amount`` in the counted windows; None: nothing is,
        be it of one currency.

        It is held like any hold and is no open run: neither `claim` nor a limit of concurrent runs knows it. ``owner`` looks after it.
        """
        ...

    async def move(
        self, piece: tuple[str, str], ask: Ask, filed: Filed, *, owner: str, until_ms: int, at_ms: int
    ) -> Decision:
        """Hold for a run that a replica granted out of the slice ``piece`` while the books could not be reached: taken out of the slice,
        in the windows of the slice. What is not in it (any more) is held as far as there is room. Never refused: the run is a fact.

        Found instead of made as in `reserve`, and then the slice stays as it is. ``owner`` looks after the hold until ``until_ms``.
        """
        ...

    async def give_back(self, name: str, run: str, *, at_ms: int, lapsed: bool = False) -> Hold | None:
        """End a slice; its rest is free. One that has ended stays so. ``lapsed``: only where nobody looks after it at ``at_ms``. The
        slice as it stands then; None: there is no such."""
        ...

    async def lapsed(self, *, at_ms: int, most: int) -> tuple[Hold, ...]:
        """Slices that nobody looks after at ``at_ms``, the oldest first."""
        ...

    async def standing(self, tenant: str, filed: Filed, at_ms: int) -> Standing: ...

    async def set_budget(
        self, tenant: str, budget: Budget | None, *, by: str, at_ms: int, expected: int | None = None
    ) -> int:
        """The new version. None takes it away, raises too. Raises ``BudgetChangedError`` where ``expected`` is not the version."""
        ...

    async def add_raise(self, tenant: str, more: Raise, *, by: str, at_ms: int) -> int:
        """The new version."""
        ...

    async def drift(self) -> tuple[Drift, ...]:
        """Every window whose totals are not what its holds and entries say. A look at everything: not for a hot path."""
        ...

    async def close(self) -> None: ...
