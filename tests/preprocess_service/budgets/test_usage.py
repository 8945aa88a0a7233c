"""QueryUsage over real databases: the same answers from SQLite and PostgreSQL."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service.budgets import schema, usage_token
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.usage import SUMS, UsageQueries
from preprocess_service.budgets.usage_rules import GROUPS, query_of
from preprocess_service.budgets.usage_token import read, written
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import BudgetStoreUnavailableError, InvalidFieldError, RoleRequiredError
from reelgate.rpc.identity import Identity

from .stores import HOUR, JANUARY, add, hour, postgres, tables

USER = Identity(tenant="acme", roles=frozenset({"user"}))
ADMIN = Identity(tenant="ops", roles=frozenset({"user", "admin"}))
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = (
        request.getfixturevalue("postgres_url")
        if request.param == "postgres"
        else f"sqlite:///{tmp_path / 'ledger.db'}"
    )
    async with tables(url) as made:
        yield made


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def asked(*, days: float = 31, **fields: Any) -> pb.QueryUsageRequest:
    return pb.QueryUsageRequest(
        start_time=stamp(START), end_time=stamp(START + timedelta(days=days)), **{"bucket": "month", **fields}
    )


async def pages(usage: UsageQueries, request: pb.QueryUsageRequest, who: Identity) -> list[pb.UsageRow]:
    """All of them, and that none but the last is short."""
    rows: list[pb.UsageRow] = []
    while True:
        page = await usage.query(request, who)
        rows += page.rows
        if not page.next_page_token:
            return rows
        assert len(page.rows) == request.page_size
        request.page_token = page.next_page_token


async def test_buckets_are_of_utc_hours_days_and_months(database: Database) -> None:
    hours = (0, 23, 24, 31 * 24 - 1, 31 * 24, 59 * 24 - 1, 59 * 24)  # to the first hour of March
    await add(database, schema.usage, *(hour(at, tokens=10**k) for k, at in enumerate(hours)))
    usage = UsageQueries(database)

    async def of(bucket: str, **fields: Any) -> list[tuple[str, int]]:
        answer = await usage.query(asked(days=90, bucket=bucket, **fields), USER)
        return [(row.bucket_start.ToJsonString()[:13], row.tokens) for row in answer.rows]

    assert await of("month") == [("2026-01-01T00", 1111), ("2026-02-01T00", 110000), ("2026-03-01T00", 1000000)]
    assert await of("day") == [
        ("2026-01-01T00", 11),
        ("2026-01-02T00", 100),
        ("2026-01-31T00", 1000),
        ("2026-02-01T00", 10000),
        ("2026-02-28T00", 100000),
        ("2026-03-01T00", 1000000),
    ]
    assert len(await of("hour")) == 7
    assert await of("", tier="full") == await of("day")


async def test_what_is_not_grouped_by_is_summed_up_and_currencies_never_are(database: Database) -> None:
    await add(
        database,
        schema.usage,
        hour(0, tokens=1, tokens_micros=10),
        hour(0, tenant="zeta", tokens=2, tokens_micros=20),
        hour(1, tier="draft", tokens=4, tokens_micros=40),
        hour(1, policy="full", tokens=8, tokens_micros=80),
        hour(2, currency="EUR", tokens=16, tokens_micros=160),
    )
    usage = UsageQueries(database)

    async def of(*group_by: str, **fields: Any) -> list[tuple[str, str, str, str, int, int]]:
        answer = await usage.query(asked(group_by=group_by, **{"tenant": "*", **fields}), ADMIN)
        return [(r.tenant, r.tier, r.policy, r.currency, r.tokens, r.tokens_micros) for r in answer.rows]

    assert await of("tenant") == [
        ("acme", "", "", "EUR", 16, 160),
        ("acme", "", "", "USD", 13, 130),
        ("zeta", "", "", "USD", 2, 20),
    ]
    assert await of("policy", "tier", tenant="acme") == [
        ("", "draft", "economy", "USD", 4, 40),
        ("", "full", "economy", "EUR", 16, 160),
        ("", "full", "economy", "USD", 1, 10),
        ("", "full", "full", "USD", 8, 80),
    ]
    assert await of("tenant", tier="draft") == [("acme", "", "", "USD", 4, 40)]
    assert await of("tenant", policy="full") == [("acme", "", "", "USD", 8, 80)]
    assert len(await of()) == 5
    total = await usage.totals(query_of(asked(tenant="*"), ADMIN, JANUARY))
    assert [(row.currency, row.sums[SUMS.index("tokens")]) for row in total] == [("EUR", 16), ("USD", 15)]


async def test_a_prompt_that_grew_is_a_negative_saving_and_every_column_is_its_own(database: Database) -> None:
    figures = {name: 100 + k for k, name in enumerate(SUMS)} | {"tokens_saved": -7, "tokens_saved_micros": -140}
    await add(database, schema.usage, hour(0, **figures))
    (row,) = (await UsageQueries(database).query(asked(), USER)).rows
    assert (row.tokens_saved, row.tokens_saved_micros) == (-7, -140)
    got = {name: getattr(row, name) for name in SUMS if name not in ("overrun_ms", "saved_ms")}
    got |= {"overrun_ms": row.overrun_device_ms, "saved_ms": row.device_ms_saved}
    assert got == figures


async def test_pages_have_every_row_once_though_rows_are_added_meanwhile(database: Database) -> None:
    rows = [hour(at, tenant=t, tier=tier, tokens=1) for at in range(5) for t in ("a", "B", "é") for tier in ("x", "y")]
    await add(database, schema.usage, *rows)
    usage = UsageQueries(database)
    whole = await pages(usage, asked(tenant="*", bucket="hour", page_size=1000), ADMIN)
    assert len(whole) == 30
    for size in (1, 4, 30):
        assert await pages(usage, asked(tenant="*", bucket="hour", page_size=size), ADMIN) == whole
    first = await usage.query(asked(tenant="*", bucket="hour", page_size=10), ADMIN)
    await add(database, schema.usage, hour(0, tenant="0-before-them-all"))
    rest = await pages(usage, asked(tenant="*", bucket="hour", page_size=10, page_token=first.next_page_token), ADMIN)
    assert [*first.rows, *rest] == whole


async def test_a_range_that_ends_now_is_the_same_on_every_page(database: Database) -> None:
    await add(database, schema.usage, hour(0), hour(1), hour(5))
    now = [JANUARY + 2 * HOUR]
    usage = UsageQueries(database, now=lambda: now[0])
    first = await usage.query(pb.QueryUsageRequest(bucket="hour", page_size=1), USER)
    now[0] += 24 * HOUR
    second = await usage.query(pb.QueryUsageRequest(bucket="hour", page_size=1, page_token=first.next_page_token), USER)
    assert len(second.rows) == 1
    assert second.next_page_token == ""
    assert len((await usage.query(pb.QueryUsageRequest(bucket="hour"), USER)).rows) == 3


async def test_a_token_of_another_query_or_a_changed_one_is_refused(database: Database) -> None:
    await add(database, schema.usage, hour(0), hour(1), hour(2))
    usage = UsageQueries(database)
    token = (await usage.query(asked(bucket="hour", page_size=1), USER)).next_page_token
    changed = json.loads(base64.urlsafe_b64decode(token + "=="))
    changed[2][1] = "zeta"
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode()
    for request in (
        asked(bucket="hour", page_token=forged),
        asked(bucket="day", page_token=token),
        asked(bucket="hour", tier="full", page_token=token),
        asked(bucket="hour", days=3, page_token=token),
        asked(bucket="hour", page_token="[["),
        asked(bucket="hour", page_token="W" * 5000),
        asked(bucket="hour", page_token="é"),
    ):
        with pytest.raises(InvalidFieldError, match="page_token"):
            await usage.query(request, USER)
    with pytest.raises(InvalidFieldError, match="page_token"):
        await usage.query(asked(bucket="hour", page_token=token, tenant="ops"), ADMIN)


async def test_a_range_counts_whole_hours(database: Database) -> None:
    await add(database, schema.usage, hour(0), hour(1), hour(2), hour(3))
    request = pb.QueryUsageRequest(
        start_time=stamp(START + timedelta(minutes=90)), end_time=stamp(START + timedelta(minutes=121)), bucket="hour"
    )
    assert len((await UsageQueries(database).query(request, USER)).rows) == 2


async def test_anothers_usage_needs_the_role_admin() -> None:
    for tenant in ("zeta", "*"):
        with pytest.raises(RoleRequiredError):
            query_of(pb.QueryUsageRequest(tenant=tenant), USER, JANUARY)
    assert query_of(pb.QueryUsageRequest(tenant="zeta"), ADMIN, JANUARY).filters == (("tenant", "zeta"),)
    assert query_of(pb.QueryUsageRequest(), USER, JANUARY).filters == (("tenant", "acme"),)


def test_every_broken_rule_is_named_at_once() -> None:
    request = pb.QueryUsageRequest(
        tenant="a b",
        start_time=stamp(START),
        end_time=stamp(START),
        bucket="week",
        page_size=1001,
        group_by=["tier", "tier", "colour"],
    )
    with pytest.raises(InvalidFieldError) as told:
        query_of(request, ADMIN, JANUARY)
    assert [v.subject for v in told.value.violations] == [
        "tenant",
        "bucket",
        "page_size",
        "group_by",
        "group_by",
        "start_time",
    ]


@pytest.mark.parametrize(
    "request_",
    [
        pb.QueryUsageRequest(start_time=Timestamp(seconds=-1)),
        pb.QueryUsageRequest(end_time=Timestamp(seconds=253_402_300_799)),
        pb.QueryUsageRequest(start_time=stamp(START - timedelta(days=4000))),
        pb.QueryUsageRequest(start_time=stamp(START + timedelta(days=1))),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(request_: pb.QueryUsageRequest) -> None:
    with pytest.raises(InvalidFieldError, match="_time"):
        query_of(request_, USER, JANUARY)


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'none' / 'x.db'}", "postgresql://reelgate@127.0.0.1:1/x"):
        database = Database(url)
        with pytest.raises(BudgetStoreUnavailableError):
            await UsageQueries(database).query(asked(), USER)
        await database.close()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda s: base64.urlsafe_b64encode(s.encode())))
def test_no_token_of_a_stranger_is_taken(token: bytes) -> None:
    query = query_of(asked(), USER, JANUARY)
    with pytest.raises(InvalidFieldError):
        read(token.decode("latin-1"), query)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(GROUPS), unique=True),
    st.data(),
    st.integers(0, usage_token.LAST_MS),
)
def test_a_place_survives_its_token(groups: list[str], data: st.DataObject, bucket: int) -> None:
    query = query_of(asked(group_by=groups), USER, JANUARY)
    text = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=usage_token.KEY_MAX)
    keys = data.draw(st.lists(text, min_size=len(query.group_by) + 1, max_size=len(query.group_by) + 1))
    assert read(written(query, [bucket, *keys]), query) == (query, (bucket, *keys))


@pytest.mark.parametrize(
    ("start", "end", "place"),
    [
        (0, 253_402_300_799_999, [0, "", "", "", ""]),  # ten thousand years: too much to add up
        (0, 2**70, [0, "", "", "", ""]),
        (float("inf"), 0, [0, "", "", "", ""]),
        (0, 3_600_000, [2**70, "", "", "", ""]),
        (0, 3_600_000, [0]),
        (0, 3_600_000, [0, "a\0", "", "", ""]),
        (0, 3_600_000, [0, "a" * 500, "", "", ""]),
        (0, 3_600_000, [0, 1, "", "", ""]),
        (0, 3_600_000, "x"),
        (True, 3_600_000, [0, "", "", "", ""]),
        (3_600_000, 0, [0, "", "", "", ""]),
        (0, 3_600_000, [0, "\ud800", "", "", ""]),  # half a character
        (253_402_300_800_000 - 3_600_000, 253_402_300_800_000, [0, "", "", "", ""]),  # no month comes after
    ],
)
async def test_a_token_that_somebody_wrote_is_held_to_the_rules_of_a_query(
    database: Database, start: float, end: int, place: object
) -> None:
    request = pb.QueryUsageRequest(bucket="month")
    query = query_of(request, USER, JANUARY)
    # As `written` does it, since its digest has no key.
    body = [start, end, place]
    text = json.dumps([*body, usage_token._digest(query, body)])
    request.page_token = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    with pytest.raises(InvalidFieldError) as caught:
        await UsageQueries(database).query(request, USER)
    assert [violation.subject for violation in caught.value.violations] == ["page_token"]
