"""Whatever words and figures a client sends, the answer is never an internal error: here with a PostgreSQL behind, the pickiest."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service.budgets.database import Database
from preprocess_service.budgets.migrations import migrate
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.pipeline import Line
from reelgate.generator.v1.generator_pb2 import VideoSettings
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub, UsageServiceStub

from .postgres_server import PostgresServer
from .replicas import NEVER_S, PROMPT, Replica, housed

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=130)
EVIL = (
    st.sampled_from(["\0", "a\0b", "\x7f", "\u202e", "\ud7ff", "*", "%", "'; drop table holds", "𝕏" * 128, "a" * 200])
    | WORDS
)
FIGURES = st.sampled_from([0, 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1])
TIMES = st.sampled_from([-(2**63), -1, 0, 1_900_000_000, 253_402_300_800, 2**63 - 1])


def _time(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def mostly(*good: str) -> st.SearchStrategy[str]:
    """Else hardly any request would come through to the database."""
    return st.integers(0, 4).flatmap(lambda n: EVIL if not n else st.sampled_from(good))


USAGE = st.builds(
    pb.QueryUsageRequest,
    tenant=mostly("", "local"),
    tier=mostly("", "embedded"),
    policy=mostly("", "economy"),
    bucket=mostly("month", "day"),
    page_token=mostly(""),
    page_size=st.integers(0, 1001),
    group_by=st.lists(mostly("tier"), max_size=2),
    start_time=st.just(Timestamp(seconds=1_700_000_000)) | st.builds(_time, TIMES),
)
LIMITS = st.builds(
    pb.BudgetLimit, window=mostly("day", "month"), tokens=FIGURES, device_ms=FIGURES, carry_over=st.booleans()
)
BUDGETS = st.builds(pb.Budget, limits=st.lists(LIMITS, max_size=3), abnormal=mostly("", "flag"))
RAISES = st.builds(
    pb.BudgetRaise,
    window=mostly("day"),
    tokens=FIGURES,
    note=EVIL,
    expire_time=st.builds(_time, st.just(int(time.time()) + 3600) | TIMES),
)
CHANGES = st.builds(pb.SetBudgetRequest, tenant=mostly("local", "acme"), budget=BUDGETS) | st.builds(
    lambda tenant, more: pb.SetBudgetRequest(tenant=tenant, **{"raise": more}), mostly("local", "acme"), RAISES
)
GENERATES = st.builds(
    pb.GenerateVideoRequest,
    input=st.builds(pb.PromptInput, text=st.just(PROMPT), policy=mostly("")),
    settings=st.builds(VideoSettings, tier=mostly("", "embedded")),
    request_id=EVIL,
)
OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}


@pytest.fixture
async def replica(postgres: PostgresServer, line: Line) -> AsyncIterator[Replica]:
    url = postgres.url()
    await migrate(url)
    ledger = SqlLedger(Database(url))
    async with housed(ledger, line) as house, house.replica(every_s=NEVER_S, url=url, free=True) as made:
        yield made
    await ledger.close()


@pytest.mark.parametrize("strategy", [USAGE, CHANGES, GENERATES], ids=["usage", "budget", "generate"])
async def test_no_words_and_no_figures_are_an_internal_error(replica: Replica, strategy: Any) -> None:
    channel = replica.client._channel
    usage, videos = UsageServiceStub(channel), PreprocessServiceStub(channel)
    loop, answered = asyncio.get_running_loop(), Counter[str]()

    async def send(message: Any) -> None:
        try:
            if isinstance(message, pb.QueryUsageRequest):
                await usage.QueryUsage(message, timeout=10)
            elif isinstance(message, pb.SetBudgetRequest):
                await usage.SetBudget(message, timeout=10)
            else:
                async for _ in videos.GenerateVideo(message, timeout=10):
                    pass
        except grpc.aio.AioRpcError as error:
            answered[error.code().name] += 1
            if error.code() in OURS:
                raise
        else:
            answered["OK"] += 1

    @settings(max_examples=150, deadline=None)
    @given(strategy)
    def every(message: Any) -> None:
        asyncio.run_coroutine_threadsafe(send(message), loop).result(20)

    await asyncio.to_thread(every)
    assert min(answered["OK"], answered["INVALID_ARGUMENT"]) > 5
