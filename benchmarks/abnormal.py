"""How often steady tenants are flagged, and how soon abnormal use is seen.

Traffic is made up, prompts are real: each tenant draws from its own mix of the shared sources, at its own rate, with a daily rhythm, a
weekend and, for every third, requests that come in bunches. Times are simulated; nothing waits.

    python benchmarks/abnormal.py [--quick] [--seed N]

The limits of pace.py were chosen on seed 7. Other seeds (other tenants, other traffic) are what they have not seen.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import prompt_data
from benchmarks.report import Goal, close
from preprocess_service import tokens
from preprocess_service.budgets.abnormal import SIGNALS, STAY_MS, Abnormal
from preprocess_service.budgets.core import Amount
from preprocess_service.budgets.pace import HOUR_MS, WARM_HOURS
from preprocess_service.screen import screen
from preprocess_service.settings import embedded_tokenizer

START_MS = 1_799_625_600_000  # a Monday, 2027-01-11T00:00Z
SEED = 101
MINUTE_MS = 60_000
KINDS = (
    "a request a minute or more, at the tenant's mean or above",
    "the same, requests in bunches of four",
    "less than that",
)
Prompt = tuple[int, float]
"""Tokens, and screening's score."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """``rate``: requests a minute on a mean weekday; ``swing``: how far a day goes up and down, a share of that; ``bunch``: requests
    that come at once, on average."""

    name: str
    rate: float
    swing: float
    peak_hour: float
    bunch: float
    prompts: list[str]
    device_ms: float

    def at(self, ms: int) -> float:
        """Requests a minute."""
        hour = ms / HOUR_MS
        day = 1 + self.swing * math.cos(2 * math.pi * (hour % 24 - self.peak_hour) / 24)
        return self.rate * day * (0.6 if int(hour // 24 + 3) % 7 >= 5 else 1.0)


class Texts:
    """Prompts as the service would see them."""

    def __init__(self) -> None:
        self._count = tokens.load(embedded_tokenizer()).count
        self._known: dict[str, Prompt] = {}

    def of(self, text: str) -> Prompt:
        if text not in self._known:
            count = self._count(text)
            self._known[text] = (count, screen(text, (), count).score)
        return self._known[text]


def tenants(number: int, rng: random.Random) -> list[Tenant]:
    """Rates from one request in four minutes to eight a minute."""
    sources: dict[str, list[str]] = {}
    for row in prompt_data.load():
        sources.setdefault(f"{row['source']}-{row['lang']}", []).extend(prompt_data.texts(row)[:1])
    made = []
    for at in range(number):
        mix = [text for name in rng.sample(sorted(sources), 2) for text in sources[name]]
        made.append(
            Tenant(
                name=f"t{at}",
                rate=0.25 * 2 ** rng.uniform(0, 5),
                swing=rng.uniform(0, 0.9),
                peak_hour=rng.uniform(0, 24),
                bunch=4.0 if at % 3 == 2 else 1.0,
                prompts=mix,
                device_ms=rng.uniform(2_000, 60_000),
            )
        )
    return made


def arrivals(tenant: Tenant, start_ms: int, end_ms: int, rng: random.Random, times: float = 1.0) -> Iterator[int]:
    """Poisson, minute by minute; bunches of geometric size."""
    for minute in range(start_ms, end_ms, MINUTE_MS):
        at, mean = 0.0, tenant.at(minute) * times / tenant.bunch
        while (at := at + rng.expovariate(mean)) < 1:
            size = 1
            while tenant.bunch > 1 and rng.random() > 1 / tenant.bunch:
                size += 1
            yield from [minute + int(at * MINUTE_MS)] * size


def send(abnormal: Abnormal, tenant: Tenant, prompt: Prompt, at_ms: int, rng: random.Random) -> tuple[str, ...]:
    """One request; the signals after it."""
    count, score = prompt
    abnormal.prompt(tenant.name, tokens=count, score=score, at_ms=at_ms)
    amount = Amount(tokens=min(count, 64), device_ms=round(tenant.device_ms * rng.lognormvariate(0, 0.5)))
    abnormal.spent(tenant.name, amount, at_ms)
    return abnormal.judge(tenant.name, at_ms)


def steady(who: list[Tenant], days: int, texts: Texts, rng: random.Random) -> tuple[Abnormal, dict[str, int], int, int]:
    """What is known afterwards; tenant-hours with each signal (and "any"), tenant-hours after the first day, requests."""
    abnormal, calls = Abnormal(), 0
    flagged: dict[str, set[tuple[str, int]]] = {signal: set() for signal in (*SIGNALS, "any")}
    for tenant in who:
        for at in arrivals(tenant, START_MS, START_MS + days * 24 * HOUR_MS, rng):
            calls += 1
            signals = send(abnormal, tenant, texts.of(rng.choice(tenant.prompts)), at, rng)
            for signal in signals:
                flagged[signal].add((tenant.name, at // HOUR_MS))
                flagged["any"].add((tenant.name, at // HOUR_MS))
    return (
        abnormal,
        {signal: len(hours) for signal, hours in flagged.items()},
        len(who) * (days * 24 - WARM_HOURS),
        calls,
    )


def flood(
    known: Abnormal, tenant: Tenant, times: float, start_ms: int, texts: Texts, rng: random.Random
) -> tuple[float, bool]:
    """Minutes until spend is flagged (an hour: not at all), and whether the tenant was flagged before."""
    abnormal = copy.copy(known)
    abnormal._habits = type(known._habits)({tenant.name: copy.deepcopy(known._habits[tenant.name])})
    calm_ms = start_ms - 30 * MINUTE_MS
    signals: tuple[str, ...] = ()
    for at in arrivals(tenant, calm_ms, start_ms, rng):
        signals = send(abnormal, tenant, texts.of(rng.choice(tenant.prompts)), at, rng)
    if "spend_velocity" in signals:
        return 0.0, True
    for at in arrivals(tenant, start_ms, start_ms + HOUR_MS, rng, times):
        if "spend_velocity" in send(abnormal, tenant, texts.of(rng.choice(tenant.prompts)), at, rng):
            return (at - start_ms) / MINUTE_MS, False
    return 60.0, False


def stuffing(known: Abnormal, tenant: Tenant, how: str, start_ms: int, texts: Texts, rng: random.Random) -> int:
    """Prompts until either signal of prompts is raised; 500: not at all."""
    abnormal = copy.copy(known)
    abnormal._habits = type(known._habits)({tenant.name: copy.deepcopy(known._habits[tenant.name])})
    for number in range(1, 500):
        parts = [rng.choice(tenant.prompts)] * 3 if how == "repeated" else rng.choices(tenant.prompts, k=3)
        signals = send(abnormal, tenant, texts.of(" ".join(parts)), start_ms + number * 1000, rng)
        if {"tokens_per_prompt", "repetition"} & set(signals):
            return number
    return 500


def within(found: list[float], limit: float) -> float:
    return sum(each <= limit for each in found) / len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    quick = given.quick
    if not prompt_data.DATA.is_dir():
        print("the shared prompts are not at ../shared/data: not measured")
        return 0
    rng, texts = random.Random(given.seed), Texts()
    who, days = tenants(12 if quick else 40, rng), 7 if quick else 10
    began = time.process_time()
    known, flagged, hours, calls = steady(who, days, texts, rng)
    print(f"{len(who)} steady tenants, {days} days, {calls} requests, {time.process_time() - began:.0f} s of CPU")
    print(f"tenant-hours flagged of {hours}: " + ", ".join(f"{name} {count}" for name, count in flagged.items()))
    end = START_MS + days * 24 * HOUR_MS
    floods: dict[str, list[float]] = {"busy": [], "bunches": [], "quiet": []}
    for tenant in who:
        for hour in range(0, 24, 4):
            start = end + hour * HOUR_MS + 17 * MINUTE_MS
            minutes, before = flood(known, tenant, 5, start, texts, rng)
            if not before:
                busy = tenant.at(start) >= max(1, tenant.rate)
                floods["quiet" if not busy else "busy" if tenant.bunch == 1 else "bunches"].append(minutes)
    for name, found in zip(KINDS, floods.values(), strict=True):
        print(
            f"5x spend, {name}: {len(found)} floods, median {statistics.median(found):.1f} min, "
            f"within 5 min {within(found, 5):.3f}, within 10 min {within(found, 10):.3f}, not in an hour {1 - within(found, 59.99):.3f}"
        )
    stuffed = {how: [stuffing(known, each, how, end, texts, rng) for each in who] for how in ("repeated", "joined")}
    for how, found_in in stuffed.items():
        print(
            f"3x tokens, {how}: median {statistics.median(found_in):.0f} prompts, worst {max(found_in)}, "
            f"within 30 {within([float(each) for each in found_in], 30):.3f}"
        )
    timed = cost(known, who[0], end)
    print(f"a prompt and a reservation: {timed:.1f} us of CPU; a signal stays {STAY_MS // MINUTE_MS} min at least")
    return close(
        [
            Goal(
                name="steady tenant-hours flagged",
                value=100 * flagged["any"] / hours,
                compare="<=",
                target=1,
                unit=" %",
            ),
            Goal(name="5x spend within 5 min, busy hours", value=within(floods["busy"], 5), compare=">=", target=0.95),
            Goal(
                name="5x spend within 10 min, in bunches", value=within(floods["bunches"], 10), compare=">=", target=0.8
            ),
            Goal(
                name="3x by repeating, within 30 prompts",
                value=within(list(map(float, stuffed["repeated"])), 30),
                compare=">=",
                target=0.95,
            ),
            Goal(
                name="3x by joining, within 30 prompts",
                value=within(list(map(float, stuffed["joined"])), 30),
                compare=">=",
                target=0.95,
            ),
            Goal(name="CPU of a prompt and a reservation", value=timed, compare="<=", target=50, unit=" us"),
        ]
    )


def cost(known: Abnormal, tenant: Tenant, at_ms: int) -> float:
    """Microseconds."""
    rounds = 20_000
    amount = Amount(tokens=50, device_ms=9_000)
    began = time.process_time()
    for number in range(rounds):
        known.prompt(tenant.name, tokens=50, score=0.0, at_ms=at_ms + number * 50)
        known.spent(tenant.name, amount, at_ms + number * 50)
    return (time.process_time() - began) / rounds * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
