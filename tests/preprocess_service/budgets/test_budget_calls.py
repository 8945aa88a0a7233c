"""GetBudget and SetBudget, as a client calls them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from reelgate import Budget, Client, Limit, Raise
from reelgate.rpc.errors import (
    BudgetChangedError,
    BudgetSetByFileError,
    BudgetStoreUnavailableError,
    InvalidFieldError,
    NotBuiltError,
    RoleRequiredError,
)

from .replicas import NEVER_S, House, Replica

DAILY = Budget(limits=(Limit(window="day", tokens=100, device_ms=5000),), concurrent=3, abnormal="throttle")
SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
async def replica(house: House) -> AsyncIterator[Replica]:
    async with house.replica(every_s=NEVER_S) as each:
        yield each


async def test_without_a_budget_nothing_is_limited(replica: Replica) -> None:
    standing = await replica.client.budget()
    assert (standing.tenant, standing.source, standing.version, standing.budget) == ("local", "none", 0, Budget())
    assert [window.limit.window for window in standing.windows] == ["minute", "day", "month"]
    assert all(window.free_tokens is None and window.reset_time is not None for window in standing.windows)


async def test_a_budget_that_was_set_counts_and_shows_what_is_left(house: House, replica: Replica) -> None:
    standing = await replica.client.set_budget("local", DAILY, expected_version=0)
    assert (standing.source, standing.version, standing.budget) == ("set", 1, DAILY)
    bill = (await replica.video()).bill
    assert bill is not None
    day = (await replica.client.budget()).windows[1]
    assert day.limit == DAILY.limits[0]
    assert day.limit.tokens == (day.free_tokens or 0) + day.held_tokens + day.charged_tokens
    assert (day.charged_tokens, day.charged_device_ms, day.free_device_ms) == (bill.tokens, 320, 4680)


async def test_a_raise_is_in_the_limit_until_it_expires(replica: Replica) -> None:
    await replica.client.set_budget("local", DAILY)
    more = Raise(window="day", tokens=50, expire_time=SOON, note="launch")
    standing = await replica.client.set_budget("local", more, expected_version=1)
    assert standing.windows[1].limit.tokens == 150
    assert standing.budget == DAILY
    (raised,) = standing.raises
    assert replace(raised, expire_time=SOON) == more
    with pytest.raises(BudgetChangedError):
        await replica.client.set_budget("local", more, expected_version=1)


async def test_everybodys_budget_stands_for_who_has_none(replica: Replica) -> None:
    await replica.client.set_budget("*", DAILY)
    assert (await replica.client.budget()).source == "default_set"
    assert (await replica.client.budget("*")).source == "set"
    assert (await replica.client.set_budget("*", None)).source == "none"


async def test_a_change_of_another_version_is_refused(replica: Replica) -> None:
    await replica.client.set_budget("acme", DAILY)
    with pytest.raises(BudgetChangedError) as caught:
        await replica.client.set_budget("acme", Budget(), expected_version=0)
    assert caught.value.metadata["version"] == "1"


LIMIT = Limit(window="day", tokens=1)
WRONG = {
    "two of one window": (Budget(limits=(LIMIT, LIMIT)), "budget.limits[1].window"),
    "an unknown window": (Budget(limits=(Limit(window="week", tokens=1),)), "budget.limits[0].window"),
    "no figure": (Budget(limits=(Limit(window="day"),)), "budget.limits[0]"),
    "carried over to a request": (
        Budget(limits=(Limit(window="request", tokens=1, carry_over=True),)),
        "budget.limits[0].carry_over",
    ),
    "a figure beyond reason": (Budget(limits=(Limit(window="day", tokens=2**60),)), "budget.limits[0].tokens"),
    "an unknown word": (Budget(abnormal="shout"), "budget.abnormal"),
    "a raise that expired": (
        Raise(window="day", tokens=1, expire_time=datetime.now(UTC) - timedelta(seconds=5)),
        "raise.expire_time",
    ),
    "a raise for two years": (
        Raise(window="day", tokens=1, expire_time=SOON + timedelta(days=700)),
        "raise.expire_time",
    ),
    "a raise of nothing": (Raise(window="day", expire_time=SOON), "raise"),
    "a long note": (Raise(window="day", tokens=1, expire_time=SOON, note="n" * 201), "raise.note"),
    "a note of no characters": (Raise(window="day", tokens=1, expire_time=SOON, note="a\0b"), "raise.note"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_change_is_refused_by_its_field(replica: Replica, name: str) -> None:
    change, field = WRONG[name]
    with pytest.raises(InvalidFieldError) as caught:
        await replica.client.set_budget("local", change)
    assert field in [violation.subject for violation in caught.value.violations]
    assert (await replica.client.budget()).version == 0


@pytest.mark.parametrize("tenant", ["", "a/b", "a" * 65, "**"])
async def test_a_name_that_no_tenant_has_is_refused(replica: Replica, tenant: str) -> None:
    with pytest.raises(InvalidFieldError, match="tenant"):
        await replica.client.set_budget(tenant, DAILY)


async def test_a_raise_for_everybody_is_refused_since_it_would_be_nobodys(replica: Replica) -> None:
    with pytest.raises(InvalidFieldError, match="raise a tenant"):
        await replica.client.set_budget("*", Raise(window="day", tokens=1, expire_time=SOON))


async def test_what_was_raised_is_taken_away_although_a_file_has_the_budget(house: House, tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "local.yaml").write_text("budget: {limits: [{window: day, tokens: 100}]}")
    async with house.replica(every_s=NEVER_S, tenants=tmp_path) as replica:
        raised = await replica.client.set_budget("local", Raise(window="day", tokens=5, expire_time=SOON))
        assert raised.windows[1].limit.tokens == 105
        removed = await replica.client.set_budget("local", None)
        assert (removed.source, removed.windows[1].limit.tokens) == ("file", 100)


async def test_raises_never_add_up_to_more_than_a_figure_can_be(replica: Replica) -> None:
    await replica.client.set_budget("local", Budget(limits=(Limit(window="day", tokens=2**53),)))
    for _ in range(2):
        raised = await replica.client.set_budget("local", Raise(window="day", tokens=2**53, expire_time=SOON))
    assert raised.windows[1].limit.tokens == 2**53


async def test_the_operators_files_come_first(house: House, tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "default.yaml").write_text("budget: {limits: [{window: month, tokens: 7}]}")
    own = tmp_path / "tenants" / "local.yaml"
    own.write_text("budget: {limits: [{window: day, device_seconds: 1.5}], concurrent: 2}")
    async with house.replica(every_s=NEVER_S, tenants=tmp_path) as replica:
        standing = await replica.client.budget()
        assert standing.source == "file"
        assert standing.budget == Budget(limits=(Limit(window="day", device_ms=1500),), concurrent=2)
        with pytest.raises(BudgetSetByFileError) as caught:
            await replica.client.set_budget("local", DAILY)
        assert "raise" in caught.value.next_step
        raised = await replica.client.set_budget("local", Raise(window="day", device_ms=500, expire_time=SOON))
        assert raised.windows[1].limit.device_ms == 2000
        assert (await replica.client.budget("acme")).source == "default_file"
        with pytest.raises(BudgetSetByFileError):
            await replica.client.set_budget("*", DAILY)
        own.write_text("budget: {limits: [{window: day, tokens: 9}]}")
        assert (await replica.client.budget()).budget.limits == (Limit(window="day", tokens=9),)
        own.write_text("budget: {limits: [{window: day}]}")  # wrong: the last good one stays
        assert (await replica.client.budget()).budget.limits == (Limit(window="day", tokens=9),)
        own.unlink()
        assert (await replica.client.budget()).source == "default_file"


async def test_others_budgets_are_for_admins(house: House, tmp_path: Path) -> None:
    people = {"alice": ("acme", ["user"]), "root": ("ops", ["admin"])}
    tokens = [
        {"sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": tenant, "roles": roles}
        for name, (tenant, roles) in people.items()
    ]
    file = tmp_path / "tokens.yaml"
    file.write_text(yaml.safe_dump({"tokens": tokens}))
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(house.replica(every_s=NEVER_S, token_file=file))
        address = f"127.0.0.1:{replica.app.server.port}"
        alice = await stack.enter_async_context(Client(address, token="alice"))
        root = await stack.enter_async_context(Client(address, token="root"))
        assert (await root.set_budget("acme", DAILY)).source == "set"
        assert (await alice.budget()).budget == DAILY
        assert (await alice.budget("acme")).tenant == "acme"
        for call in (alice.budget("ops"), alice.budget("*"), alice.set_budget("acme", Budget())):
            with pytest.raises(RoleRequiredError):
                await call


async def test_while_the_ledger_is_down_budgets_are_unavailable(replica: Replica) -> None:
    replica.books.down = True
    with pytest.raises(BudgetStoreUnavailableError):
        await replica.client.budget()
    with pytest.raises(BudgetStoreUnavailableError):
        await replica.client.set_budget("local", DAILY)


async def test_where_no_books_are_kept_the_service_says_so(house: House) -> None:
    async with house.replica(free=True) as replica:
        with pytest.raises(NotBuiltError):
            await replica.client.budget()
