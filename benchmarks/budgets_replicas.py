"""A crowd on a budget that fits some of it: replicas of the gate are killed in the middle of holds, clients retry and send twice.

The generator is the real one on the embedded model's tiny shape. Every client comes back until it has its video or until nothing is
open any more and it is refused once again; so whoever is refused in the end does not fit.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from benchmarks.budgets_stand import Stand, request, standing
from benchmarks.report import Goal
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.drifting import drifts
from preprocess_service.budgets.verify import verify
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub, UsageServiceStub
from reelgate.rpc.errors import QuotaError, ReelgateError
from reelgate.rpc.status import from_rpc_error

CALL_SECONDS = 300.0
SECONDS_A_VIDEO = 0.05
TWICE = 10
"""One client in so many sends its request twice at once, to two replicas."""


@dataclass
class Crowd:
    """``waiting``: clients that were refused for want of budget and come back when they are told to."""

    stand: Stand
    chance: random.Random
    done: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    transient: Counter[str] = field(default_factory=Counter)
    charged: Counter[int] = field(default_factory=Counter)
    again: asyncio.Event = field(default_factory=asyncio.Event)
    finish: bool = False
    """Nothing is open any more: who is refused now, stays refused."""

    async def client(self, i: int) -> None:
        copies = 2 if i % TWICE == 0 else 1
        await asyncio.gather(*(self._one(i, copy) for copy in range(copies)))

    async def _one(self, i: int, copy: int) -> None:
        attempt = 0
        while True:
            last_round = self.finish
            try:
                place = (i + copy + attempt) % len(self.stand.channels)
                self.done[i] = await self._ask(place, i)
                self.refused.discard(i)
                return
            except QuotaError as error:
                self.transient[error.reason] += not last_round
                self.refused.add(i)
                if last_round:
                    return
                await self.again.wait()
            except ReelgateError as error:
                self.transient[error.reason] += 1
                await asyncio.sleep(min(2.0, 0.1 * 2 ** min(attempt, 5)) * self.chance.uniform(0.5, 1.5))
            attempt += 1

    async def _ask(self, place: int, i: int) -> str:
        stub = PreprocessServiceStub(self.stand.channels[place])
        try:
            async for event in stub.GenerateVideo(request(i, f"request-{i}"), timeout=CALL_SECONDS):
                if event.WhichOneof("event") == "video":
                    return str(event.video.name)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except (grpc.aio.UsageError, asyncio.CancelledError) as error:
            # The channel of a replica that was killed is closed under the call.
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            raise ReelgateError("the channel was closed", reason="CHANNEL_CLOSED") from None
        raise ReelgateError("the stream ended without a video", reason="NO_VIDEO")


async def budget_of(stand: Stand) -> pb.GetBudgetResponse:
    """From whichever replica answers."""
    while True:
        for channel in stand.channels:
            try:
                return await UsageServiceStub(channel).GetBudget(pb.GetBudgetRequest(tenant="local"), timeout=10)
            except (grpc.aio.AioRpcError, grpc.aio.UsageError):
                await asyncio.sleep(0.2)


async def killer(stand: Stand, kills: int, every: float, chance: random.Random) -> list[int]:
    """SIGKILL for one replica after another, and a new process in its place. How many holds were open at each."""
    held: list[int] = []
    for _ in range(kills):
        await asyncio.sleep(every * chance.uniform(0.5, 1.5))
        held.append((await budget_of(stand)).open_runs)
        place = chance.randrange(len(stand.gates))
        await stand.kill(place)
        await asyncio.sleep(chance.uniform(0, 1.0))
        await stand.restart(place)
    return held


async def cost_of_one(stand: Stand) -> pb.CostEstimate:
    """What one request is held for."""
    stub = PreprocessServiceStub(stand.channels[0])
    settings = request(0).settings
    asked = pb.PreparePromptRequest(input=request(0).input, settings=settings)
    return (await stub.PreparePrompt(asked, timeout=30)).cost


async def set_limit(stand: Stand, tokens: int | None, device_ms: int | None) -> None:
    limit = pb.BudgetLimit(window="month", tokens=tokens, device_ms=device_ms)
    change = pb.SetBudgetRequest(tenant="local", budget=pb.Budget(limits=[limit]))
    await UsageServiceStub(stand.channels[0]).SetBudget(change, timeout=30)


async def quiet(stand: Stand, within: float) -> pb.GetBudgetResponse:
    """The budget once no hold is open."""
    end = time.monotonic() + within
    while True:
        budget = await budget_of(stand)
        if not budget.open_runs or time.monotonic() > end:
            return budget
        await asyncio.sleep(0.5)


def month(budget: pb.GetBudgetResponse) -> pb.BudgetState:
    return next(state for state in budget.windows if state.limit.window == "month")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    done: int
    refused: int
    transient: Counter[str]
    budget: pb.GetBudgetResponse
    need: pb.CostEstimate
    kills: list[int]
    peak_tokens: int
    peak_ms: int
    seconds: float
    stored: int
    """Videos that the generator's store has: no ledger says so, and every client asks for one of its own."""


async def crowd(stand: Stand, clients: int, fits: int, kills: int, *, by_time: bool) -> Outcome:
    """All come at once. The limit is ``fits`` times what one request is held for."""
    chance = random.Random(5)
    need = await cost_of_one(stand)
    if by_time and not need.device_ms_p95:
        raise RuntimeError("the generator gives no estimate")
    await set_limit(stand, None if by_time else fits * need.tokens, fits * need.device_ms_p95 if by_time else None)
    people = Crowd(stand=stand, chance=chance)
    begun = time.monotonic()
    tasks = [asyncio.create_task(people.client(i)) for i in range(clients)]
    # A tiny video takes about this long, so most kills fall into the time in which holds are open.
    killing = asyncio.create_task(killer(stand, kills, SECONDS_A_VIDEO * fits / (kills + 1), chance))
    watch = Watch()
    watching = asyncio.create_task(watch.run(stand))
    await settle_down(stand, people, tasks, killing)
    watching.cancel()
    budget = await quiet(stand, 120)
    need = await cost_of_one(stand)
    return Outcome(
        done=len(people.done),
        refused=len(people.refused - people.done.keys()),
        transient=people.transient,
        budget=budget,
        need=need,
        kills=await killing,
        peak_tokens=watch.tokens,
        peak_ms=watch.device_ms,
        seconds=time.monotonic() - begun,
        stored=len(list((stand.folder / "store").rglob("*.mp4"))),
    )


async def settle_down(
    stand: Stand, people: Crowd, tasks: list[asyncio.Task[None]], killing: asyncio.Task[list[int]]
) -> None:
    """The refused are called again and again while something changes; the last time once everything has ended."""
    while not killing.done() or await busy(stand, people, tasks):
        await asyncio.sleep(1.0)
        people.again.set()
        people.again = asyncio.Event()
    people.finish = True
    people.again.set()
    await asyncio.gather(*tasks)


async def busy(stand: Stand, people: Crowd, tasks: list[asyncio.Task[None]]) -> bool:
    waiting = sum(not task.done() for task in tasks) - len(people.refused)
    return bool((await budget_of(stand)).open_runs) or waiting > 0


class Watch:
    """The most that was held and charged together, looked at all the while."""

    def __init__(self) -> None:
        self.tokens = self.device_ms = 0

    async def run(self, stand: Stand) -> None:
        while True:
            state = month(await budget_of(stand))
            self.tokens = max(self.tokens, state.held_tokens + state.charged_tokens)
            self.device_ms = max(self.device_ms, state.held_device_ms + state.charged_device_ms)
            await asyncio.sleep(0.3)


async def rows_on(
    ledger: str, name: str, *, replicas: int, clients: int, fits: int, kills: int, by_time: bool
) -> list[Goal]:
    environment = {"REELGATE_PREPROCESS_HOLD_GRACE_SECONDS": "5", "REELGATE_PREPROCESS_RECONCILE_SECONDS": "1"}
    async with standing(ledger, replicas, **environment) as stand:
        found = await crowd(stand, clients, fits, kills, by_time=by_time)
        drift, findings = await audit(ledger)
    state = month(found.budget)
    limit = state.limit.device_ms if by_time else state.limit.tokens
    charged = state.charged_device_ms if by_time else state.charged_tokens
    peak = found.peak_ms if by_time else found.peak_tokens
    one = found.need.device_ms_p95 if by_time else found.need.tokens
    unit = "device-ms" if by_time else "tokens"
    print(
        f"{name}: {clients} clients on {replicas} replicas, {len(found.kills)} killed, with so many holds open: {found.kills}; "
        f"{found.seconds:.0f} s: {found.done} done, "
        f"{found.refused} refused in the end; limit {limit} {unit}, charged {charged}, one asks {one}, overrun "
        f"{state.overrun_device_ms} ms; on the way: {dict(found.transient)}"
    )
    return [
        Goal(name=f"{name}: charged above the limit, {unit}", value=max(0, charged - limit), compare="==", target=0),
        Goal(
            name=f"{name}: held and charged above the limit at any look",
            value=max(0, peak - limit),
            compare="==",
            target=0,
        ),
        Goal(
            name=f"{name}: refused though it fits",
            value=found.refused if limit - charged >= one else 0,
            compare="==",
            target=0,
        ),
        Goal(
            name=f"{name}: tokens charged, for each video in the store",
            value=state.charged_tokens / max(1, found.stored),
            compare="==",
            target=found.need.tokens,
        ),
        Goal(
            name=f"{name}: clients without an answer",
            value=clients - found.done - found.refused,
            compare="==",
            target=0,
        ),
        Goal(name=f"{name}: kills while holds were open", value=sum(map(bool, found.kills)), compare=">=", target=1),
        Goal(name=f"{name}: holds still open", value=found.budget.open_runs, compare="==", target=0),
        Goal(name=f"{name}: windows that drift", value=drift, compare="==", target=0),
        Goal(name=f"{name}: findings of ledger verify", value=findings, compare="==", target=0),
    ]


async def audit(ledger: str) -> tuple[int, int]:
    """Windows that drift, and what `reelgate ledger verify` finds."""
    database = Database(ledger)
    try:
        drift = await database.read(drifts)
        found = await verify(database)
    finally:
        await database.close()
    for finding in found.findings[:20]:
        print(f"ledger verify: {finding}")
    return len(drift), len(found.findings)


def on_sqlite(**options: object) -> list[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        return asyncio.run(rows_on(url, replicas=1, **options))  # type: ignore[arg-type]
