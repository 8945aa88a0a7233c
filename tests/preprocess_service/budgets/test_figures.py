"""What budgets tell Prometheus, by itself and through a real service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from sqlalchemy import insert

from preprocess_service.app import App, serving
from preprocess_service.budgets.abnormal import WARM_PROMPTS, Abnormal, Hour
from preprocess_service.budgets.books import Books, clock
from preprocess_service.budgets.core import (
    Amount,
    Ask,
    Bill,
    Budget,
    Cause,
    Filed,
    Limit,
    Price,
    Window,
)
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.figures import BudgetFigures
from preprocess_service.budgets.ledger import Drift
from preprocess_service.budgets.memory import MemoryLedger
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.opening import Keeping
from preprocess_service.budgets.pace import HOUR_MS
from preprocess_service.budgets.schema import usage
from preprocess_service.budgets.seeding import recent
from preprocess_service.budgets.standings import Standings
from preprocess_service.pipeline import Line
from preprocess_service.settings import Settings
from preprocess_service.tenant_labels import TenantLabels
from preprocess_service.worker import Worker
from reelgate import Client
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub, UsageServiceStub

from .replicas import PROMPT, House

AT = 40 * 24 * HOUR_MS
DAY = Limit(window=Window.DAY, tokens=1000, device_ms=60_000)


def books(ledger: MemoryLedger, tenants: str = "a") -> Books:
    figures = BudgetFigures(tenants=TenantLabels(tenants))
    return Books(
        ledger=ledger,
        replica="r",
        figures=figures,
        abnormal=Abnormal(figures.raised),
        prices=lambda tier, at_ms: Price(version="1", tokens_micros=2_000, device_micros=3_000),
        now=lambda: AT,
    )


def ask(name: str, tokens: int = 100, tenant: str = "a") -> Ask:
    amount = Amount(tokens=tokens, device_ms=4000)
    return Ask(tenant=tenant, name=name, run="r", amount=amount, at_ms=AT, tier="embedded")


async def test_decisions_charges_and_money_are_counted() -> None:
    kept = books(MemoryLedger())
    await kept.ledger.set_budget("a", Budget(limits=(DAY,)), by="test", at_ms=AT)
    held = (await kept.reserve(ask("v1"))).hold
    await kept.reserve(ask("v1"))
    assert (await kept.reserve(ask("v2", tokens=950))).hold is None
    assert held is not None
    kept.figures.expected("v1", "r", 2000, 4000)
    due = Amount(tokens=100, device_ms=3000)
    await kept.settle(held, Bill(cause=Cause.DONE, due=due, measured=due), AT - 1500)
    await kept.settle(held, Bill(cause=Cause.DONE, due=due, measured=due), AT - 1500)
    read = kept.figures.registry.get_sample_value
    for outcome in ("granted", "found", "refused"):
        assert read("reelgate_budget_decisions_total", {"tenant": "a", "outcome": outcome}) == 1
    assert read("reelgate_budget_refused_total", {"tenant": "a", "reason": "TOKEN_BUDGET_EXHAUSTED"}) == 1
    assert read("reelgate_budget_reservations_ended_total", {"tier": "embedded", "cause": "done"}) == 1
    of = {"tenant": "a", "tier": "embedded"}
    assert read("reelgate_budget_charged_tokens_total", of) == 100
    assert read("reelgate_budget_charged_device_seconds_total", of) == 3
    assert read("reelgate_budget_cost_total", of | {"kind": "tokens", "currency": "USD"}) == 0.0002
    assert read("reelgate_budget_cost_total", of | {"kind": "device", "currency": "USD"}) == 0.009
    assert read("reelgate_budget_settle_lag_seconds_sum") == 1.5
    for quantile, ratio in (("p50", 1.5), ("p95", 0.75)):
        tier = {"tier": "embedded", "quantile_estimated": quantile}
        assert read("reelgate_budget_estimate_ratio_sum", tier) == ratio


async def test_budgets_as_they_stand_add_up() -> None:
    kept = books(MemoryLedger())
    await kept.ledger.set_budget("a", Budget(limits=(DAY,)), by="test", at_ms=AT)
    await kept.reserve(ask("v1"))
    standings = Standings(kept, kept.abnormal, kept.figures)
    await standings.read()
    read = kept.figures.registry.get_sample_value
    for currency, limit, held in (("tokens", 1000, 100), ("device_seconds", 60, 4)):
        at = {"tenant": "a", "window": "day", "currency": currency}
        assert read("reelgate_budget_limit", at) == limit
        assert read("reelgate_budget_held", at) == held
        assert read("reelgate_budget_charged", at) == 0
        assert read("reelgate_budget_free", at) == limit - held
    assert read("reelgate_budget_limit", {"tenant": "a", "window": "month", "currency": "tokens"}) is None
    assert read("reelgate_budget_open_holds", {"tenant": "a"}) == 1


async def test_ten_thousand_tenants_have_the_figures_of_two() -> None:
    kept = books(MemoryLedger())
    for number in range(10_000):
        await kept.reserve(ask(f"v{number}", tenant=f"t{number}"))
        kept.figures.throttled(f"t{number}")
        kept.figures.refused(f"t{number}", "RATE_LIMITED")
        kept.figures.raised(f"t{number}", "repetition")
    Standings(kept, kept.abnormal, kept.figures)
    tenants = {
        sample.labels["tenant"]
        for family in kept.figures.registry.collect()
        for sample in family.samples
        if "tenant" in sample.labels
    }
    assert tenants == {"a", "other"}


def test_drift_and_the_outbox_are_told() -> None:
    figures = BudgetFigures()
    figures.drift([Drift(tenant="a", window=Window.DAY, start_ms=0, kept="1", counted="2")], AT)
    figures.outbox(7, 2)
    read = figures.registry.get_sample_value
    assert read("reelgate_budget_drift_windows") == 1
    assert read("reelgate_budget_drift_checked_timestamp_seconds") == AT / 1000
    assert (read("reelgate_budget_outbox_waiting"), read("reelgate_budget_outbox_given_up")) == (7, 2)


async def test_the_books_of_the_last_days_are_read_with_their_empty_hours(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await migrate(url)
    database = Database(url)
    row = {"tenant": "a", "tier": "embedded", "currency": "USD", "requests": 2, "tokens": 10, "device_ms": 20}
    rows = [
        row | {"hour_ms": AT - back * HOUR_MS, "policy": policy}
        for back, policy in ((3, "economy"), (3, "full"), (1, "economy"), (999, "economy"))
    ]
    await database.write(lambda connection: connection.execute(insert(usage), rows))
    found = await recent(database, AT + 5)
    await database.close()
    sizes = {3: (20, 40, 4), 2: (0, 0, 0), 1: (10, 20, 2)}
    assert found == [
        Hour(tenant="a", hour_ms=AT - back * HOUR_MS, tokens=t, device_ms=d, requests=n)
        for back, (t, d, n) in sizes.items()
    ]


@asynccontextmanager
async def replica(house: House, line: Line) -> AsyncIterator[tuple[App, Client, grpc.aio.Channel]]:
    """One that looks for abnormal use."""
    settings = Settings(
        address="127.0.0.1:0",
        generator=f"127.0.0.1:{house.server.port}",
        probe_seconds=0.05,
        drain_seconds=0.2,
        metrics_tenants="local",
    )
    keeping = Keeping(ledger=house.ledger)
    async with serving(settings, {"embedded": line}, Worker(queue=8), keeping) as app:
        await asyncio.wait_for(app.ready.wait(), 10)
        target = f"127.0.0.1:{app.server.port}"
        async with Client(target) as client, grpc.aio.insecure_channel(target) as channel:
            yield app, client, channel


async def test_stuffing_reaches_the_receipt_the_budget_the_figures_and_the_throttle(
    house: House, line: Line, tmp_path: Path
) -> None:
    async with replica(house, line) as (app, client, channel):
        stub, books_of = PreprocessServiceStub(channel), UsageServiceStub(channel)

        async def prepare(text: str) -> list[str]:
            answer = await stub.PreparePrompt(pb.PreparePromptRequest(input=pb.PromptInput(text=text)), timeout=20)
            return [warning for warning in answer.receipt.warnings if warning.startswith("abnormal:")]

        for number in range(WARM_PROMPTS + 10):
            assert await prepare(f"a red ball number {number % 7}") == []
        for number in range(30):
            warned = await prepare(f"a red ball number {number} rolls over the green grass and then stops " * 2)
        assert "abnormal:tokens_per_prompt" in warned
        standing = await books_of.GetBudget(pb.GetBudgetRequest(), timeout=20)
        assert "tokens_per_prompt" in standing.abnormal
        await client.generate_to_file(PROMPT, tmp_path / "video.mp4", timeout=20)
        await house.ledger.set_budget("local", Budget(throttle=True), by="test", at_ms=clock())
        with pytest.raises(Exception, match="abnormal") as refused:
            await client.generate_to_file(PROMPT, tmp_path / "video.mp4", timeout=20)
        assert refused.value.reason == "RATE_LIMITED"  # type: ignore[attr-defined]
        assert refused.value.retry_after  # type: ignore[attr-defined]
        assert app.budgets is not None
        read = app.budgets.books.figures.registry.get_sample_value
        at = {"tenant": "local", "signal": "tokens_per_prompt"}
        assert read("reelgate_budget_abnormal_raised_total", at) == 1
        assert read("reelgate_budget_abnormal_tenants", at) == 1
        assert read("reelgate_budget_throttled_total", {"tenant": "local"}) == 1
        assert (await house.ledger.standing("local", Filed(), clock())).open_holds == 0
