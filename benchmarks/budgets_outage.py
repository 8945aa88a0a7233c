"""PostgreSQL crashes under load and is back after a while: what callers get meanwhile, and whether the books are right afterwards."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from dataclasses import dataclass

import grpc
import numpy as np

from benchmarks.budgets_replicas import audit, cost_of_one, month, quiet, set_limit
from benchmarks.budgets_stand import Stand, request, standing
from benchmarks.postgres import PostgresServer, running
from benchmarks.report import Goal
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub
from reelgate.rpc.status import from_rpc_error

EVERY = 0.25
"""Seconds from one request to the next."""
REFUSED = "BUDGET_STORE_UNAVAILABLE"


@dataclass(frozen=True, kw_only=True)
class Call:
    """``begun`` and ``ended`` in seconds of the clock; ``reason`` "" for a video."""

    begun: float
    ended: float
    reason: str


async def ask(stand: Stand, i: int) -> Call:
    begun = time.monotonic()
    reason = "NO_VIDEO"
    try:
        stub = PreprocessServiceStub(stand.channels[i % len(stand.channels)])
        async for event in stub.GenerateVideo(request(i, f"outage-{i}"), timeout=120):
            if event.WhichOneof("event") == "video":
                reason = ""
    except grpc.aio.AioRpcError as error:
        reason = from_rpc_error(error).reason
    return Call(begun=begun, ended=time.monotonic(), reason=reason)


async def load(
    stand: Stand, database: PostgresServer, before: float, down: float, after: float
) -> tuple[list[Call], float, float]:
    """All calls, and when the database went and was back."""
    begun = time.monotonic()
    calls: list[asyncio.Task[Call]] = []
    gone = back = 0.0
    for i in itertools.count():
        now = time.monotonic() - begun
        if now > before + down + after:
            break
        if not gone and now > before:
            await asyncio.to_thread(database.stop)
            gone = time.monotonic()
        if gone and not back and time.monotonic() > gone + down:
            await asyncio.to_thread(database.start)
            back = time.monotonic()
        calls.append(asyncio.create_task(ask(stand, i)))
        await asyncio.sleep(EVERY)
    return list(await asyncio.gather(*calls)), gone, back


async def outage(down: float, slice_tokens: int) -> list[Goal]:
    with running(()) as database, tempfile.TemporaryDirectory() as folder:
        url = database.url()
        environment = {
            "REELGATE_PREPROCESS_HOLD_GRACE_SECONDS": "5",
            "REELGATE_PREPROCESS_RECONCILE_SECONDS": "1",
        }
        if slice_tokens:
            environment |= {
                "REELGATE_PREPROCESS_DEGRADED_TOKENS": str(slice_tokens),
                "REELGATE_PREPROCESS_DEGRADED_DEVICE_MS": "600000",
                "REELGATE_PREPROCESS_DEGRADED_FOLDER": folder,
            }
        async with standing(url, 2, **environment) as stand:
            need = await cost_of_one(stand)
            await set_limit(stand, 10_000_000, None)
            calls, gone, back = await load(stand, database, 10, down, 20)
            budget = await quiet(stand, 120)
            drift, findings = await audit(url)
    return judged(
        calls, gone, back, need.tokens, month(budget).charged_tokens, budget.open_runs, drift, findings, slice_tokens
    )


def judged(
    calls: list[Call],
    gone: float,
    back: float,
    need: int,
    charged: int,
    open_runs: int,
    drift: int,
    findings: int,
    slice_tokens: int,
) -> list[Goal]:
    mode = f"slice of {slice_tokens} tokens a replica" if slice_tokens else "fail closed"
    during = [call for call in calls if gone <= call.begun < back]
    refused = [call for call in during if call.reason == REFUSED]
    later = [call for call in calls if call.begun >= back]
    done = sum(not call.reason for call in calls)
    first = min((call.ended for call in later if not call.reason), default=float("inf"))
    waits = [call.ended - call.begun for call in refused] or [0.0]
    before = [call for call in calls if call.begun < gone]
    reasons = Counter(call.reason or "video" for call in during)
    print(
        f"{mode}: down for {back - gone:.0f} s, {len(during)} calls meanwhile: {dict(reasons)}; refused after "
        f"{1000 * np.median(waits):.0f} ms at the median, {1000 * max(waits):.0f} at most; first video {first - back:.1f} s after it "
        f"was back; before: {dict(Counter(call.reason or 'video' for call in before))}; "
        f"after: {dict(Counter(call.reason or 'video' for call in later))}"
    )
    admitted = [call for call in during if not call.reason]
    goals = [
        Goal(name=f"{mode}: slowest refusal", value=max(waits), compare="<=", target=5, unit=" s"),
        Goal(
            name=f"{mode}: tokens charged less those of the videos made",
            value=charged - need * done,
            compare="==",
            target=0,
        ),
        Goal(name=f"{mode}: first video after it is back", value=first - back, compare="<=", target=10, unit=" s"),
        Goal(name=f"{mode}: holds still open", value=open_runs, compare="==", target=0),
        Goal(name=f"{mode}: windows that drift", value=drift, compare="==", target=0),
        Goal(name=f"{mode}: findings of ledger verify", value=findings, compare="==", target=0),
    ]
    if slice_tokens:
        most = 2 * slice_tokens
        goals.append(
            Goal(name=f"{mode}: tokens spent while it was down", value=need * len(admitted), compare="<=", target=most)
        )
        goals.append(Goal(name=f"{mode}: videos while it was down", value=len(admitted), compare=">=", target=1))
    else:
        other = [call for call in during if call.reason != REFUSED and call.begun > gone]
        goals.append(Goal(name=f"{mode}: admitted without the ledger", value=len(other), compare="==", target=0))
    return goals


def rows(down: float, slice_tokens: int) -> list[Goal]:
    """Both modes: fail closed, and a slice of so many tokens a replica."""
    return [goal for given in (0, slice_tokens) for goal in asyncio.run(outage(down, given))]
