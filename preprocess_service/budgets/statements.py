"""The SQL of the ledger, built once for a dialect: so that its text is compiled once, and no call pays for building it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Table,
    and_,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from .core import ANYBODY, COUNTED, HELD, State
from .ready import Ready
from .schema import accounts, budgets, entries, holds, outbox, raises, requests, usage, windows

OPEN = State.OPEN.value
SLICE = State.SLICE.value
IS_HELD = or_(*(holds.c.state == state.value for state in sorted(HELD)))
"""No IN: its parameters are made up at each call, which many rows at once do not allow."""


def _of(name: str) -> Any:
    return bindparam(name)


by_key = and_(holds.c.name == _of("name"), holds.c.run == _of("run"))
find_hold = select(holds).where(by_key)
default_version = func.coalesce(
    select(accounts.c.budget_version).where(accounts.c.tenant == ANYBODY).correlate(None).scalar_subquery(), 0
).label("default_version")
read_account = select(accounts.c.budget_version, accounts.c.open_holds, default_version).where(
    accounts.c.tenant == _of("tenant")
)
read_default = select(default_version)
read_budget = select(budgets.c.budget).where(budgets.c.tenant == _of("tenant"))
read_raises = select(raises).where(raises.c.tenant == _of("tenant")).order_by(raises.c.id)
SAME, LED, WINDOW = range(3)
"""What a row of `look` is: the hold of the same name and run, the one that the request's id leads to, or a window."""
same_hold = select(holds, literal(SAME).label("what")).where(by_key)
lead_hold = (
    select(holds, literal(LED).label("what"))
    .join(requests, and_(requests.c.name == holds.c.name, requests.c.run == holds.c.run))
    .where(requests.c.tenant == _of("tenant"), requests.c.request_id == _of("request_id"))
)
is_near = and_(
    windows.c.tenant == _of("tenant"),
    or_(
        *(
            and_(
                windows.c.window == window.value,
                windows.c.start_ms.in_([_of(f"{window}_{which}") for which in ("now", "was", "next")]),
            )
            for window in COUNTED
        )
    ),
)
read_windows = select(windows).where(is_near)
_in_place = {
    "name": windows.c.window,
    "at_ms": windows.c.start_ms,
    "tokens": windows.c.held_tokens,
    "device_ms": windows.c.held_ms,
    "charged_tokens": windows.c.charged_tokens,
    "charged_ms": windows.c.charged_ms,
}
"""Where a window's figures are in a row that is otherwise a hold's."""
near_windows = select(
    *(
        _in_place.get(c.name, literal_column("0" if isinstance(c.type, BigInteger) else "''")).label(c.name)
        for c in holds.c
    ),
    literal(WINDOW).label("what"),
).where(is_near)
# By whether the request has an id, and whether there are limits: all of it in one round trip.
look: dict[tuple[bool, bool], Any] = {
    (False, False): same_hold,
    (True, False): union_all(same_hold, lead_hold),
    (False, True): union_all(same_hold, near_windows),
    (True, True): union_all(same_hold, lead_hold, near_windows),
}
grow_hold = (
    update(holds)
    .where(holds.c.name == _of("b_name"), holds.c.run == _of("b_run"))
    .values(tokens=_of("tokens"), device_ms=_of("device_ms"))
)
end_hold = (
    update(holds)
    .where(holds.c.name == _of("b_name"), holds.c.run == _of("b_run"))
    .values(
        state=_of("state"),
        cause=_of("cause"),
        tokens=_of("tokens"),
        device_ms=_of("device_ms"),
        charged_tokens=_of("charged_tokens"),
        charged_ms=_of("charged_ms"),
        measured_tokens=_of("measured_tokens"),
        measured_ms=_of("measured_ms"),
        price_version=_of("price_version"),
        owner="",
        owned_until_ms=0,
    )
)
renew_hold = (
    update(holds)
    .where(holds.c.name == _of("b_name"), holds.c.run == _of("b_run"), IS_HELD)
    .values(owner=_of("owner"), owned_until_ms=_of("until_ms"))
)
find_lapsed = (
    select(holds)
    .where(holds.c.state == SLICE, holds.c.owned_until_ms <= _of("now_ms"))
    .order_by(holds.c.at_ms, holds.c.name, holds.c.run)
    .limit(_of("most"))
)
_free = (
    select(holds.c.name, holds.c.run)
    .where(holds.c.state == OPEN, holds.c.owned_until_ms <= _of("now_ms"))
    # Who was looked at last comes last: where a round takes longer than a claim holds, the others would never come.
    .order_by(holds.c.owned_until_ms, holds.c.at_ms, holds.c.name, holds.c.run)
    .limit(_of("most"))
    .with_for_update(skip_locked=True)
    .cte("free")
)
# PostgreSQL never folds a locking WITH into the query around it, so no row beyond the limit is locked.
claim_holds: ReturningUpdate[Any] = (
    update(holds)
    .where(tuple_(holds.c.name, holds.c.run).in_(select(_free.c.name, _free.c.run)))
    .values(owner=_of("owner"), owned_until_ms=_of("until_ms"))
    .returning(*holds.c)
)
bump_by_hold = (
    update(accounts)
    .where(accounts.c.tenant == select(holds.c.tenant).where(by_key).scalar_subquery())
    .values(
        last_seq=accounts.c.last_seq + _of("entries"),
        open_holds=accounts.c.open_holds + _of("opened"),
    )
    .returning(accounts.c.tenant, accounts.c.last_seq, accounts.c.budget_version, default_version)
)


HOLD = (
    *("name", "run", "tenant", "request_id", "tier", "policy", "state", "tokens", "device_ms", "at_ms"),
    *("tokens_saved", "prepare_us", "owner", "owned_until_ms"),
)
"""What is known of a hold when it is made."""


class Changes:
    """Those that change the books of a tenant, for one dialect. SQLite and PostgreSQL spell INSERT … ON CONFLICT DO UPDATE alike, and
    SQLAlchemy does not. ``bump`` answers, the others do not."""

    def __init__(self, dialect: Dialect) -> None:
        upsert: Any = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        self.bump = _bump(upsert)
        lead = upsert(requests).values({name: _of(name) for name in ("tenant", "request_id", "name", "run")})
        lead = lead.on_conflict_do_update(
            index_elements=[requests.c.tenant, requests.c.request_id],
            set_={"name": lead.excluded.name, "run": lead.excluded.run},
        )
        budget = _all(upsert, budgets)
        budget = budget.on_conflict_do_update(
            index_elements=[budgets.c.tenant],
            set_={name: budget.excluded[name] for name in ("budget", "set_by", "at_ms")},
        )
        self.lead, self.budget = Ready(lead, dialect), Ready(budget, dialect)
        self.hold = Ready(insert(holds).values({name: _of(name) for name in HOLD}), dialect)
        self.entry = Ready(_all(insert, entries), dialect)
        self.tell = Ready(insert(outbox).values({name: _of(name) for name in ("tenant", "seq", "at_ms")}), dialect)
        self.grow, self.end = Ready(grow_hold, dialect), Ready(end_hold, dialect)
        # One row of a window, since a day, a month and a minute have three.
        self.book = Ready(_adding(_all(upsert, windows), windows), dialect)
        self.count = Ready(_adding(_all(upsert, usage), usage), dialect)


def _all(make: Any, table: Table) -> Any:
    """A row with every column given."""
    return make(table).values({c.name: _of(c.name) for c in table.c})


def _bump(upsert: Any) -> Any:
    """Lock the tenant's row to the end of the transaction, and number what is about to be written in it."""
    names = ("last_seq", "open_holds", "budget_version")
    made = upsert(accounts).values(tenant=_of("tenant"), **{name: _of(name) for name in names})
    return made.on_conflict_do_update(
        index_elements=[accounts.c.tenant], set_={name: accounts.c[name] + made.excluded[name] for name in names}
    ).returning(
        accounts.c.last_seq, accounts.c.open_holds, accounts.c.budget_version, accounts.c.sealed_seq, default_version
    )


def _adding(made: Any, table: Any) -> Any:
    return made.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={c.name: table.c[c.name] + made.excluded[c.name] for c in table.c if not c.primary_key},
    )
