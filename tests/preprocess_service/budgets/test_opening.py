"""The books as the settings open them: a settlement of the real ledger is told outside, priced by the table of its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from preprocess_service.budgets.bills import bill
from preprocess_service.budgets.core import Amount, Ask, Cause, Filed
from preprocess_service.budgets.opening import Keeping, keeping
from preprocess_service.settings import Settings
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.identity import LOCAL

from .receiver import Receiver, receiver
from .stores import HOUR, JANUARY, postgres

TABLE = """
versions:
  - {version: old, from: 2025-01-01, currency: USD, per_1000_tokens: 1, per_device_second: {default: 2}, per_prepare_second: 3}
  - {version: new, from: 2026-01-01T01:00:00Z, currency: EUR, per_1000_tokens: 10, per_device_second: {default: 20}}
"""


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


async def close(kept: Keeping) -> None:
    for each in kept.also:
        await each()
    await kept.ledger.close()


async def run(kept: Keeping, name: str, cause: Cause, at_ms: int) -> None:
    """From reservation to the end: 100 tokens, 1500 ms of which 1000 were held and none could be more; the prompt grew by 10."""
    amount = Amount(tokens=100, device_ms=1000)
    filed = Filed()
    ask = Ask(
        tenant="local",
        name=name,
        run="r1",
        amount=amount,
        at_ms=at_ms,
        tier="full",
        tokens_saved=-10,
        prepare_us=2_000_000,
    )
    await kept.ledger.reserve(ask, filed)
    end = bill(cause, tokens=100, device_ms=1500, saved_ms=4000 if cause is Cause.STORED else 0)
    assert await kept.ledger.settle(name, "r1", end, kept.prices("full", at_ms), filed, at_ms + 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_what_ends_is_told_and_can_be_asked_for(kind: str, tmp_path: Path, hook: Receiver) -> None:
    (tmp_path / "prices.yaml").write_text(TABLE)
    own = f"sqlite:///{tmp_path / 'ledger.db'}"
    with postgres() if kind == "postgres" else nullcontext("") as url:
        settings = Settings(
            ledger=url or own,
            ledger_timeout_ms=20_000,
            prices=tmp_path / "prices.yaml",
            events=hook.url,
            events_source="/gate/7",
        )
        kept = await keeping(settings)
        assert kept is not None
        await run(kept, "videos/1", Cause.DONE, JANUARY)
        await run(kept, "videos/2", Cause.STORED, JANUARY)
        await run(kept, "videos/3", Cause.FAILED, JANUARY)
        await run(kept, "videos/4", Cause.DONE, JANUARY + HOUR)
        telling = next(chore for chore in kept.chores if chore.name == "events")
        assert await telling.do() == 4
        answer = await kept.usage.query(
            pb.QueryUsageRequest(start_time={"seconds": JANUARY // 1000}, bucket="month"), LOCAL
        )  # type: ignore[arg-type]
        await close(kept)

    one, two, three, four = hook.events
    assert [event["type"].rpartition(".")[2] for event in hook.events] == ["settled", "settled", "released", "settled"]
    assert {event["source"] for event in hook.events} == {"/gate/7"}
    assert len(set(hook.ids)) == 4
    assert one["data"]["held"] == {"tokens": 100, "device_ms": 1500}  # Extended, as there was room.
    assert one["data"]["charged"] == {"tokens": 100, "device_ms": 1500}
    assert one["data"]["money"] == {
        "price_version": "old",
        "currency": "USD",
        "tokens_micros": 100_000,
        "device_micros": 3_000_000,
        "tokens_saved_micros": -10_000,
        "device_saved_micros": 0,
        "prepare_micros": 6_000_000,
    }
    assert two["data"]["saved"] == {"tokens": -10, "device_ms": 4000}
    assert two["data"]["money"]["device_saved_micros"] == 8_000_000
    assert three["data"]["charged"] == {"tokens": 0, "device_ms": 0}
    assert three["data"]["overrun"]["device_ms"] == 1500
    assert (four["data"]["money"]["price_version"], four["data"]["money"]["currency"]) == ("new", "EUR")

    euros, dollars = answer.rows
    assert (euros.currency, euros.tokens_micros, euros.device_micros) == ("EUR", 1_000_000, 30_000_000)
    assert (dollars.currency, dollars.requests, dollars.done, dollars.stored, dollars.failed) == ("USD", 3, 1, 1, 1)
    # Tokens, device time and preparing are columns of their own, and the prompt that grew is a negative saving.
    assert (dollars.tokens, dollars.tokens_micros, dollars.device_ms, dollars.device_micros) == (
        200,
        200_000,
        1500,
        3_000_000,
    )
    assert dollars.tokens_saved < 0
    assert dollars.tokens_saved_micros < 0
    assert (dollars.device_ms_saved, dollars.device_saved_micros, dollars.overrun_device_ms) == (4000, 8_000_000, 1500)
    assert dollars.prepare_micros > 0


async def test_without_settings_nothing_is_told_and_everything_is_free(tmp_path: Path) -> None:
    kept = await keeping(Settings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}"))
    assert kept is not None
    assert kept.prices("full", JANUARY).version == "none"
    assert [chore.name for chore in kept.chores] == ["seal"]
    await close(kept)


@pytest.mark.parametrize(
    "wrong", [{"events": "ftp://x"}, {"events": "https://x/", "events_secret": "whsec_?"}, {"prices": "p"}]
)
async def test_settings_that_cannot_be_are_refused_at_the_start(wrong: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "p").write_text(json.dumps({"versions": []}))
    given = wrong | ({"prices": str(tmp_path / "p")} if "prices" in wrong else {})
    with pytest.raises(ValueError, match=r"events|versions"):
        await keeping(Settings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", **given))  # type: ignore[arg-type]
