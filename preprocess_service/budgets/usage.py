"""What was spent and saved: sums over `usage`, the table that has one row an hour, tenant, tier, policy and currency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal, select, tuple_

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.identity import Identity

from . import calendar, usage_rules
from .books import clock
from .core import Window
from .database import Database
from .messages import stamp
from .schema import usage
from .usage_rules import DAY, HOUR, Query
from .usage_token import read, written

SUMS: Final = (
    "requests",
    "done",
    "stored",
    "cancelled",
    "failed",
    "tokens",
    "tokens_saved",
    "device_ms",
    "overrun_ms",
    "saved_ms",
    "prepare_us",
    "tokens_micros",
    "device_micros",
    "tokens_saved_micros",
    "device_saved_micros",
    "prepare_micros",
)
NAMES: Final = {"overrun_ms": "overrun_device_ms", "saved_ms": "device_ms_saved"}
"""Where the contract calls a column otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One bucket: ``keys`` are the values of what the query groups by, in its order; ``sums`` those of `SUMS`."""

    bucket_ms: int
    keys: tuple[str, ...]
    currency: str
    sums: tuple[int, ...]

    @property
    def place(self) -> tuple[int | str, ...]:
        """Where it stands in the order of the answer."""
        return (self.bucket_ms, *self.keys, self.currency)


def statement(query: Query, after: Sequence[int | str] = (), most: int | None = None) -> Select[Any]:
    """The rows of ``query`` in order, from behind the place ``after``. Money of two currencies is never added up."""
    bucket = _bucket(query)
    keys = [usage.c[name] for name in query.group_by]
    order: list[ColumnElement[Any]] = [bucket, *keys, usage.c.currency]
    # PostgreSQL adds up integers of 8 bytes to a decimal; the sums of a ledger fit.
    sums = [cast(func.sum(usage.c[name]), BigInteger) for name in SUMS]
    begin = max(query.start_ms, int(after[0]) if after else 0)
    found = (
        select(*order, *sums)
        # Range and limit are written out: PostgreSQL plans a statement that came often for any of them, and for a month by tenant
        # that plan takes three times as long.
        .where(usage.c.hour_ms >= _const(begin), usage.c.hour_ms < _const(query.end_ms))
        .where(*(usage.c[name] == value for name, value in query.filters))
        .group_by(*order)
        .order_by(*order)
    )
    if after:
        found = found.where(tuple_(*order) > tuple_(*(literal(each) for each in after)))
    return found if most is None else found.limit(literal(most, BigInteger, literal_execute=True))


def _bucket(query: Query) -> ColumnElement[int]:
    """When the bucket of a row began, in Unix milliseconds."""
    hour: ColumnElement[int] = usage.c.hour_ms
    if query.bucket == DAY:
        return (hour - hour % _const(calendar.DAY_MS)).label("bucket")
    if query.bucket == HOUR:
        return hour.label("bucket")
    if query.bucket == usage_rules.ALL:
        return _const(query.start_ms).label("bucket")
    first = calendar.start(Window.MONTH, query.start_ms)
    begun = [first]
    while (following := calendar.end(Window.MONTH, begun[-1])) < query.end_ms:
        begun.append(following)
    if len(begun) == 1:
        return _const(first).label("bucket")
    cases = [(hour < _const(behind), _const(at)) for at, behind in pairwise(begun)]
    return case(*cases, else_=_const(begun[-1])).label("bucket")


def _const(value: int) -> ColumnElement[int]:
    """Written out, so that a database sees that what it groups by is what it selects; and cast, since a bare number there is a column."""
    return cast(literal(value, BigInteger, literal_execute=True), BigInteger)


class UsageQueries:
    """Answers QueryUsage out of a ledger's database, by one code path on SQLite and PostgreSQL.

    Give it a `Database` of its own: a look at a year may take longer than a reservation may wait, and it is nobody's sign that the
    ledger is down.
    """

    def __init__(self, database: Database, now: Callable[[], int] = clock) -> None:
        self._database, self._now = database, now

    async def query(self, request: pb.QueryUsageRequest, identity: Identity) -> pb.QueryUsageResponse:
        """One page. Raises ``InvalidFieldError``, ``RoleRequiredError`` and ``BudgetStoreUnavailableError``."""
        query = usage_rules.query_of(request, identity, self._now())
        after: tuple[int | str, ...] = ()
        if request.page_token:
            # A page goes on with the range that the first one had, also where that was "until now".
            query, after = read(
                request.page_token,
                query,
                fixed_start=request.HasField("start_time"),
                fixed_end=request.HasField("end_time"),
            )
        size = request.page_size or usage_rules.PAGE
        rows = await self.rows(query, after=after, most=size + 1)
        answer = pb.QueryUsageResponse(rows=[_message(row, query) for row in rows[:size]])
        if len(rows) > size:
            answer.next_page_token = written(query, rows[size - 1].place)
        return answer

    async def rows(self, query: Query, *, after: Sequence[int | str] = (), most: int | None = None) -> list[Row]:
        """At most ``most`` rows behind the place ``after``. Raises ``BudgetStoreUnavailableError``."""
        width = len(query.group_by)
        asked = statement(query, after, most)
        found = await self._database.read(lambda connection: connection.execute(asked).all())
        return [
            Row(
                bucket_ms=each[0],
                keys=tuple(each[1 : 1 + width]),
                currency=each[1 + width],
                sums=tuple(map(int, each[2 + width :])),
            )
            for each in found
        ]

    async def totals(self, query: Query) -> list[Row]:
        """The whole range in one row a currency."""
        return await self.rows(query.whole())


def _message(row: Row, query: Query) -> pb.UsageRow:
    fields: dict[str, Any] = dict(zip((NAMES.get(name, name) for name in SUMS), row.sums, strict=True))
    fields |= zip(query.group_by, row.keys, strict=True)
    return pb.UsageRow(bucket_start=stamp(row.bucket_ms), currency=row.currency, **fields)
