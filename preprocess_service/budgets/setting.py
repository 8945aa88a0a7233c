"""What is set for a tenant: its budget and its raises, each with the entry that says so."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert

from reelgate.rpc.errors import BudgetChangedError

from .core import Budget, Kind, Raise
from .posting import Books
from .rows import ENTRY, Params, amount_row, budget_json, dumps
from .schema import budgets, raises


def set_budget(
    conn: Connection, books: Books, tenant: str, budget: Budget | None, *, by: str, at_ms: int, expected: int | None
) -> int:
    """The new version. Raises ``BudgetChangedError`` where the one before is not ``expected``."""
    account = books.bump(conn, tenant, version=1)
    if expected is not None and expected != account.budget_version - 1:
        raise BudgetChangedError.of(account.budget_version - 1)
    said = budget_json(budget)
    if said is None:
        conn.execute(delete(budgets).where(budgets.c.tenant == tenant))
        conn.execute(delete(raises).where(raises.c.tenant == tenant))
    else:
        row = {"tenant": tenant, "budget": dumps(said), "set_by": by, "at_ms": at_ms}
        books.post(conn, (books.changes.budget, row))
    details = dumps({"budget": said, "by": by, "version": account.budget_version})
    books.post(conn, books.entered(_change(Kind.BUDGET, tenant, account.last_seq, at_ms, details)))
    return int(account.budget_version)


def add_raise(conn: Connection, books: Books, tenant: str, more: Raise, *, by: str, at_ms: int) -> int:
    """The new version."""
    account = books.bump(conn, tenant, version=1)
    said = {"window": more.window.value, **amount_row(more.amount), "expires_ms": more.expires_ms, "note": more.note}
    conn.execute(insert(raises), {"tenant": tenant, "set_by": by, **said})
    details = dumps({"raise": said, "by": by, "version": account.budget_version})
    books.post(conn, books.entered(_change(Kind.RAISE, tenant, account.last_seq, at_ms, details)))
    return int(account.budget_version)


def _change(kind: Kind, tenant: str, seq: int, at_ms: int, details: str) -> Params:
    given = {"tenant": tenant, "seq": seq, "at_ms": at_ms, "kind": kind.value, "details": details}
    return ENTRY | given
