"""Every refusal of a budget as a client sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from preprocess_service.budgets.core import Limit, Window
from reelgate import cli_show
from reelgate import values as v
from reelgate.budgets import Verdict
from reelgate.rpc.errors import (
    DeviceTimeExceededError,
    GpuSecondsExhaustedError,
    PromptTokensExceededError,
    QuotaError,
    RateLimitedError,
    ReelgateError,
    TokenBudgetExhaustedError,
)

from .replicas import NEVER_S, OTHER, PROMPT, House, Replica, until


@pytest.fixture
async def replica(house: House) -> AsyncIterator[Replica]:
    async with house.replica(every_s=NEVER_S) as each:
        yield each


async def refused(replica: Replica, prompt: str = PROMPT) -> ReelgateError:
    with pytest.raises(ReelgateError) as caught:
        await replica.video(prompt)
    error = caught.value
    assert error.quota
    assert error.violations
    assert all(violation.subject == "tenant:local" for violation in error.violations)
    assert error.next_step
    assert error.request_id
    return error


async def test_spent_tokens_are_refused_until_the_window_resets(house: House, replica: Replica) -> None:
    tokens = (await replica.client.prepare(PROMPT)).cost_tokens
    await house.limit(Limit(window=Window.DAY, tokens=tokens + 1), Limit(window=Window.MONTH, tokens=tokens))
    await replica.video()
    error = await refused(replica, OTHER)
    asked = (await replica.client.prepare(OTHER)).cost_tokens
    assert isinstance(error, TokenBudgetExhaustedError)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOKEN_BUDGET_EXHAUSTED")
    assert error.metadata.items() >= {
        ("window", "month"),
        ("currency", "tokens"),
        ("asked", str(asked)),
        ("limit", str(tokens)),
        ("free", "0"),
    }
    assert error.metadata["reset_time"].endswith("-01T00:00:00Z")
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 31 * 86_400
    said = [violation.description for violation in error.violations]
    assert [word in text for word, text in zip(("a month", "a day"), said, strict=True)] == [True, True]
    assert said[0].startswith(f"{asked} budget tokens asked, 0 free of {tokens} a month, until ")


async def test_spent_device_time_is_refused_until_the_window_resets(house: House, replica: Replica) -> None:
    await house.limit(Limit(window=Window.MINUTE, device_ms=2000))
    await until(lambda: time.time() % 60 < 55, 10)  # both fall into one minute
    await replica.video()
    error = await refused(replica, OTHER)
    assert isinstance(error, GpuSecondsExhaustedError)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GPU_SECONDS_EXHAUSTED")
    assert (error.metadata["asked"], error.metadata["free"]) == ("2000", "1680")
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 60


async def test_tokens_that_never_fit_are_the_requests_fault(house: House, replica: Replica) -> None:
    await house.limit(Limit(window=Window.REQUEST, tokens=3))
    error = await refused(replica)
    assert isinstance(error, PromptTokensExceededError)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_TOKENS_EXCEEDED")
    assert (error.metadata["tokens"], error.metadata["limit"]) == (error.metadata["asked"], "3")
    assert error.retry_after is None
    assert "never" in error.violations[0].description


async def test_device_time_that_never_fits_is_the_requests_fault(house: House, replica: Replica) -> None:
    await house.limit(Limit(window=Window.REQUEST, device_ms=1999))
    error = await refused(replica)
    assert isinstance(error, DeviceTimeExceededError)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "GPU_SECONDS_EXCEEDED")
    assert (error.metadata["asked"], error.metadata["limit"]) == ("2000", "1999")
    assert error.retry_after is None


async def test_too_many_at_once_are_told_to_come_back(house: House, replica: Replica) -> None:
    await house.limit(concurrent=0)
    never = await refused(replica)
    assert isinstance(never, RateLimitedError)
    assert never.retry_after is None
    await house.limit(concurrent=1)
    house.twin.hold.clear()
    making = asyncio.create_task(replica.video())
    await until(lambda: house.twin.runs)
    error = await refused(replica, OTHER)
    house.twin.hold.set()
    await making
    assert isinstance(error, QuotaError)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert error.retry_after
    assert error.violations[0].description == "1 runs are open, at most 1 may be at once"


async def test_abnormal_use_is_flagged_or_throttled_by_the_budget(house: House, replica: Replica) -> None:
    house.flags = ("spend_velocity",)
    events = await replica.generate()
    assert isinstance(events[0], v.Prepared)
    assert events[0].budget is not None
    assert events[0].budget.warnings == ("abnormal:spend_velocity",)
    await house.limit(throttle=True)
    error = await refused(replica)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert error.metadata["abnormal"] == "spend_velocity"
    assert error.retry_after
    verdict = (await replica.client.prepare(PROMPT, check_budget=True)).budget
    assert verdict is not None
    assert (verdict.allowed, verdict.reason) == (False, "RATE_LIMITED")


async def test_a_soft_limit_warns_and_shadow_mode_says_what_it_would_have_done(house: House, replica: Replica) -> None:
    await house.limit(Limit(window=Window.DAY, tokens=1, soft=True))
    events = await replica.generate()
    assert isinstance(events[0], v.Prepared)
    assert events[0].budget is not None
    assert (events[0].budget.allowed, events[0].budget.warnings) == (True, ("soft:day.tokens",))
    await house.limit(Limit(window=Window.DAY, tokens=1), shadow=True)
    events = await replica.generate(OTHER)
    assert isinstance(events[0], v.Prepared)
    assert events[0].budget is not None
    assert (events[0].budget.allowed, events[0].budget.warnings) == (True, ("shadow:PROMPT_TOKENS_EXCEEDED",))


async def test_the_dry_run_asks_the_ledger_only_when_it_is_told_to(house: House, replica: Replica) -> None:
    assert (await replica.client.prepare(PROMPT)).budget is None
    assert {"would", "reserve", "standing"}.isdisjoint(replica.books.calls)
    plain = await replica.client.prepare(PROMPT, check_budget=True)
    assert plain.budget == Verdict(allowed=True, held_tokens=plain.cost_tokens, held_device_ms=2000)
    await house.limit(Limit(window=Window.DAY, device_ms=2000))
    await replica.video()
    spent = (await replica.client.prepare(OTHER, check_budget=True)).budget
    assert spent is not None
    assert (spent.allowed, spent.reason, spent.window) == (False, "GPU_SECONDS_EXHAUSTED", "day")
    assert spent.reset_time is not None
    stored = (await replica.client.prepare(PROMPT, check_budget=True)).budget
    assert stored is not None
    assert (stored.allowed, stored.held_device_ms) == (True, 0)  # it is there already
    assert not await house.open_holds()


async def test_the_command_prints_every_limit_that_is_in_the_way(
    house: House, replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.limit(Limit(window=Window.REQUEST, tokens=1), Limit(window=Window.DAY, tokens=2))
    cli_show.refusal(await refused(replica))
    said = capsys.readouterr().err
    assert "PROMPT_TOKENS_EXCEEDED" in said
    assert "of 1 a request" in said
    assert "of 2 a day" in said
    assert "Shorten the prompt" in said
