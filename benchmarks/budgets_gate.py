"""What budgets add to a call: a client of four real gates side by side, one without books, the others with each kind of them.

    python -m benchmarks.budgets_gate [--quick]

Every prompt goes to each gate in turn, and who is first changes with every prompt; a call is timed from its beginning to the end of its
stream. What is added is the difference to the gate without books: the estimate that the generator is asked for, the reservation before
it, and the settlement of the finished video, each as durable as in service (SQLite with synchronous=FULL, PostgreSQL with its own
defaults). Intervals are the middle 95 % of bootstraps that draw prompts, with all their calls, with replacement.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.postgres import programs, running
from benchmarks.report import Goal, close
from reelgate import Client
from reelgate import budgets as b
from reelgate import values as v
from reelgate.processes import Service

CALLS, QUICK, WARM = 1500, 150, 50
GOALS = {"SQLite": 3.0, "PostgreSQL": 5.0}
"""Milliseconds at p50."""
QUANTILES = (50, 95)
RESAMPLED = 2000
OFF = "off"
LIMITS = tuple(
    b.Limit(window=window, tokens=10**12, device_ms=10**12, carry_over=window == "day")
    for window in ("request", "minute", "day", "month")
)


@dataclass(kw_only=True)
class Arm:
    """A gate over one kind of ledger and a client of it; ``took`` are milliseconds of a call, ``cpu_ms`` of its process a call."""

    name: str
    gate: Service
    client: Client
    took: list[float]
    cpu_ms: float = 0.0

    async def call(self, number: int) -> None:
        began, last = time.perf_counter(), None
        async with aclosing(self.client.generate(prompt(number), request_id=f"call-{number}")) as events:
            async for event in events:
                last = event
        self.took.append((time.perf_counter() - began) * 1000)
        if not isinstance(last, v.Video) or (last.bill is None) != (self.name == OFF):
            raise RuntimeError(f"{self.name}: no video, or no bill of it: {last}")


def prompt(number: int) -> str:
    """One that no cache knows."""
    return f"Take {number}: a red ball rolls to the left over wet grass while a dog watches, soft morning light."


def cpu_ms(service: Service) -> float:
    """Of all threads of a process, user and system."""
    spent = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) * 1000 / os.sysconf("SC_CLK_TCK")


async def opened(stack: AsyncExitStack, name: str, ledger: str, generator: str, log: IO[bytes]) -> Arm:
    environment = {
        "REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0",
        "REELGATE_PREPROCESS_GENERATOR": generator,
        "REELGATE_PREPROCESS_LEDGER": ledger,
    }
    gate = Service("preprocess_service", environment, log)
    stack.push_async_callback(gate.stop)
    await gate.start()
    await gate.ready()
    client = await stack.enter_async_context(Client(gate.address))
    if ledger != OFF:
        await client.set_budget("local", b.Budget(limits=LIMITS))
    return Arm(name=name, gate=gate, client=client, took=[])


@asynccontextmanager
async def arms(ledgers: dict[str, str]) -> AsyncIterator[list[Arm]]:
    """One for each ledger, all before one generator. What they log is shown when something goes wrong."""
    with tempfile.TemporaryDirectory(prefix="reelgate-gate-") as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            try:
                async with AsyncExitStack() as stack:
                    twin = Service("benchmarks.budgets_twin", {}, log)
                    stack.push_async_callback(twin.stop)
                    await twin.start()
                    await twin.ready()
                    given = {name: ledger or f"sqlite:///{folder}/ledger.db" for name, ledger in ledgers.items()}
                    yield [await opened(stack, name, ledger, twin.address, log) for name, ledger in given.items()]
            except BaseException:
                print(path.read_text("utf-8", "replace")[-8000:])
                raise


async def measure(ledgers: dict[str, str], calls: int) -> list[Arm]:
    async with arms(ledgers) as each:
        for number in range(-WARM, calls):
            if not number:
                for arm in each:
                    arm.took, arm.cpu_ms = [], cpu_ms(arm.gate)
            first = number % len(each)
            for arm in (*each[first:], *each[:first]):
                await arm.call(number)
        for arm in each:
            arm.cpu_ms = (cpu_ms(arm.gate) - arm.cpu_ms) / calls
    return each


def added(arm: Arm, off: Arm) -> dict[int, tuple[float, float, float]]:
    """For each of `QUANTILES` how much higher it is than without books, and its interval."""
    ours, theirs = np.array(arm.took), np.array(off.took)
    drawn = np.random.default_rng(1).integers(0, len(ours), (RESAMPLED, len(ours)))
    found = {}
    for q in QUANTILES:
        many = np.percentile(ours[drawn], q, axis=1) - np.percentile(theirs[drawn], q, axis=1)
        low, high = np.percentile(many, (2.5, 97.5))
        found[q] = (float(np.percentile(ours, q) - np.percentile(theirs, q)), float(low), float(high))
    return found


def table(each: list[Arm]) -> dict[str, float]:
    """Printed; milliseconds that each kind of books adds at p50."""
    off, p50 = each[0], {}
    print(f"{len(off.took)} calls to each, load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; ms")
    print(
        f"{'books':<12}{'p50':>8}{'p95':>8}{'added at p50':>26}{'added at p95':>26}{'CPU of the gate':>18}{'added':>8}"
    )
    for arm in each:
        half, most = np.percentile(arm.took, QUANTILES)
        line = f"{arm.name:<12}{half:>8.2f}{most:>8.2f}"
        if arm is not off:
            more = added(arm, off)
            p50[arm.name] = more[50][0]
            line += "".join(f"{f'{value:+.2f} [{low:+.2f}, {high:+.2f}]':>26}" for value, low, high in more.values())
            line += f"{arm.cpu_ms:>18.2f}{arm.cpu_ms - off.cpu_ms:>+8.2f}"
        else:
            line += f"{'':>52}{arm.cpu_ms:>18.2f}"
        print(line)
    print("memory: no database, so what is left is the estimate asked of the generator, and the gate's own work")
    return p50


def rows(*, quick: bool = False) -> list[Goal]:
    """The goals; the table is printed."""
    calls, why = QUICK if quick else CALLS, ""
    ledgers = {OFF: OFF, "memory": "memory", "SQLite": ""}
    with ExitStack() as stack:
        if programs() is None:
            why = "no PostgreSQL is installed"
        else:
            ledgers["PostgreSQL"] = stack.enter_context(running(())).url()
        p50 = table(asyncio.run(measure(ledgers, calls)))
    return [
        Goal(
            name=f"budgets add to a call on {name}, p50",
            value=p50.get(name),
            compare="<=",
            target=most,
            unit=" ms",
            why=why,
        )
        for name, most in GOALS.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} calls instead of {CALLS}")
    return close(rows(quick=parser.parse_args().quick))


if __name__ == "__main__":
    sys.exit(main())
