"""Signals of abnormal use, on clocks that the tests keep."""

from __future__ import annotations

import random

import pytest

from preprocess_service.budgets.abnormal import MOST, STAY_MS, WARM_PROMPTS, Abnormal, Hour
from preprocess_service.budgets.core import Amount
from preprocess_service.budgets.pace import HOUR_MS, MINUTE_MS, Pace

DAY_MS = 24 * HOUR_MS
AMOUNT = Amount(tokens=50, device_ms=4000)


def lived(days: float, a_minute: float = 2.0, **options: object) -> tuple[Abnormal, random.Random, int]:
    """A tenant "a" that has sent ``a_minute`` ordinary requests a minute, at random; the time at the end."""
    abnormal, rng, at = Abnormal(**options), random.Random(3), 0.0  # type: ignore[arg-type]
    while (at := at + rng.expovariate(a_minute) * MINUTE_MS) < days * DAY_MS:
        ordinary(abnormal, rng, round(at))
    return abnormal, rng, round(at)


def ordinary(abnormal: Abnormal, rng: random.Random, at_ms: int) -> tuple[str, ...]:
    signals = abnormal.prompt("a", tokens=rng.randint(20, 120), score=0.0, at_ms=at_ms)
    abnormal.spent("a", AMOUNT, at_ms)
    return signals


def test_ordinary_use_is_not_flagged() -> None:
    raised: list[tuple[str, str]] = []
    abnormal, _, at = lived(3, raised=lambda tenant, signal: raised.append((tenant, signal)))
    assert raised == []
    assert abnormal.judge("a", at) == ()
    assert 0 < abnormal.velocity("a", at) < 3


def test_five_times_the_usual_spend_is_seen_within_five_minutes() -> None:
    abnormal, rng, start = lived(3)
    at = float(start)
    while "spend_velocity" not in abnormal.judge("a", round(at)):
        at += rng.expovariate(10) * MINUTE_MS
        ordinary(abnormal, rng, round(at))
        assert at < start + 5 * MINUTE_MS
    assert abnormal.velocity("a", round(at)) > 2


def test_a_flag_goes_when_use_is_ordinary_again_and_not_before() -> None:
    abnormal, rng, start = lived(3)
    at = float(start)
    while at < start + 10 * MINUTE_MS:
        at += rng.expovariate(20) * MINUTE_MS
        ordinary(abnormal, rng, round(at))
    assert abnormal.judge("a", round(at)) == ("spend_velocity",)
    flagged = {"a": ("spend_velocity",)}
    assert abnormal.flagged(round(at)) == flagged
    assert abnormal.judge("a", round(at) + STAY_MS // 2) == ("spend_velocity",)
    assert abnormal.judge("a", round(at) + 2 * STAY_MS) == ()
    assert abnormal.flagged(round(at) + 2 * STAY_MS) == {}


def test_a_new_tenant_is_never_flagged_whatever_it_does() -> None:
    abnormal = Abnormal()
    for number in range(WARM_PROMPTS):
        assert abnormal.prompt("new", tokens=5 + number**2, score=1.0, at_ms=number) == ()
        abnormal.spent("new", Amount(tokens=10**number % 10**9, device_ms=10**6), number)
    for minute in range(20 * 60):
        abnormal.spent("new", Amount(tokens=minute), minute * MINUTE_MS)
        assert abnormal.judge("new", minute * MINUTE_MS) == ()


@pytest.mark.parametrize("times", [3, 10])
def test_stuffed_prompts_are_seen_within_thirty(times: int) -> None:
    abnormal, rng, at = lived(1)
    for number in range(30):
        signals = abnormal.prompt("a", tokens=times * rng.randint(20, 120), score=0.0, at_ms=at + number)
        if signals:
            break
    assert signals == ("tokens_per_prompt",)


def test_repetition_is_seen_without_longer_prompts() -> None:
    abnormal, rng, at = lived(1)
    found = [abnormal.prompt("a", tokens=rng.randint(20, 120), score=0.9, at_ms=at + number) for number in range(30)]
    assert found[0] == ()
    assert found[-1] == ("repetition",)


def test_one_long_prompt_is_no_signal() -> None:
    abnormal, _, at = lived(1)
    assert abnormal.prompt("a", tokens=5_000, score=1.0, at_ms=at) == ()


def test_what_the_books_say_counts_as_seen() -> None:
    abnormal, start = Abnormal(), 40 * DAY_MS
    abnormal.learn(
        Hour(tenant="a", hour_ms=start - back * HOUR_MS, tokens=6000, device_ms=480_000, requests=120)
        for back in range(48, 0, -1)
    )
    rng, at = random.Random(5), float(start)
    while at < start + 2 * HOUR_MS:
        at += rng.expovariate(2) * MINUTE_MS
        ordinary(abnormal, rng, round(at))
        assert "spend_velocity" not in abnormal.judge("a", round(at))
    flood = at
    while "spend_velocity" not in abnormal.judge("a", round(at)):
        at += rng.expovariate(10) * MINUTE_MS
        ordinary(abnormal, rng, round(at))
        assert at < flood + 5 * MINUTE_MS


def test_a_daily_rhythm_is_usual() -> None:
    pace, rng = Pace(), random.Random(2)
    for minute in range(4 * 24 * 60):
        busy = minute // 60 % 24 in range(9, 18)
        for _ in range(rng.randint(8, 12) if busy else rng.randint(0, 1)):
            pace.spent(100, minute * MINUTE_MS)
            if minute > 2 * 24 * 60:
                assert pace.excess(minute * MINUTE_MS) < 1


def test_memory_is_bounded_and_the_tenants_seen_last_are_kept() -> None:
    abnormal = Abnormal()
    for number in range(MOST + 100):
        abnormal.prompt(f"t{number}", tokens=5, score=0.0, at_ms=number)
    assert len(abnormal._habits) == MOST
    assert "t0" not in abnormal._habits
    assert f"t{MOST + 99}" in abnormal._habits


def test_a_flood_that_lasts_is_not_learnt_in_an_hour() -> None:
    abnormal, rng, start = lived(3)
    at = float(start)
    while at < start + 2 * HOUR_MS:
        at += rng.expovariate(12) * MINUTE_MS
        ordinary(abnormal, rng, round(at))
    assert abnormal.judge("a", round(at)) == ("spend_velocity",)
