"""Budgets over both real services: what a run took is what is charged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from generator_service.app import running as generator
from generator_service.settings import Settings as GeneratorSettings
from preprocess_service.app import running as preprocess
from preprocess_service.settings import Settings as PreprocessSettings
from reelgate import Bill, Budget, Client, Limit, Settings, Video
from reelgate import values as v
from reelgate.processes import Service
from reelgate.rpc.errors import GpuSecondsExhaustedError, UnavailableError, VideoCancelledError
from tests.preprocess_service.budgets.replicas import until

TINY = Settings(width=32, height=32, frames=5, steps=4)
LONG = Settings(width=64, height=64, frames=33, steps=50)
PROMPT = "a red ball rolls to the left"


@asynccontextmanager
async def line(folder: Path) -> AsyncIterator[Client]:
    async with generator(GeneratorSettings(address="127.0.0.1:0", store=folder / "store")) as maker:
        await maker.ready
        settings = PreprocessSettings(
            address="127.0.0.1:0", generator=f"127.0.0.1:{maker.server.port}", reconcile_seconds=0.1
        )
        async with preprocess(settings) as gate:
            await asyncio.wait_for(gate.ready.wait(), 30)
            async with Client(f"127.0.0.1:{gate.server.port}") as client:
                yield client


async def made(client: Client, prompt: str, settings: Settings = TINY, **options: str) -> Video:
    last = [event async for event in client.generate(prompt, settings=settings, **options)][-1]
    assert isinstance(last, Video)
    return last


@pytest.mark.timeout(300)
async def test_what_a_run_took_is_what_is_charged_and_the_books_agree(tmp_path: Path) -> None:
    async with line(tmp_path) as client:
        prepared = await client.prepare(PROMPT, settings=TINY, check_budget=True)
        assert prepared.budget is not None
        assert prepared.budget.allowed
        assert prepared.budget.held_device_ms == prepared.device_ms_p95
        first = await made(client, PROMPT, request_id="one")
        assert first.report is not None
        assert first.bill is not None
        assert (first.bill.tokens, first.bill.device_ms) == (prepared.cost_tokens, first.report.device_ms)
        assert (await made(client, PROMPT, request_id="one")).bill == first.bill
        stored = await made(client, PROMPT)
        assert stored.bill == Bill(tokens=prepared.cost_tokens, device_ms=0, overrun_device_ms=0, cause="stored")
        month = (await client.budget()).windows[-1]
        assert (month.charged_tokens, month.charged_device_ms) == (2 * first.bill.tokens, first.bill.device_ms)
        assert (month.held_tokens, month.held_device_ms) == (0, 0)

        cancelled_ms = await cancelled(client, "a blue ring rises")
        month = (await client.budget()).windows[-1]
        assert month.charged_device_ms == first.bill.device_ms + cancelled_ms

        wanted = (await client.prepare("a green square falls", settings=TINY)).device_ms_p95
        assert wanted
        limit = Limit(window="month", device_ms=month.charged_device_ms + wanted // 2)
        await client.set_budget("local", Budget(limits=(limit,)))
        with pytest.raises(GpuSecondsExhaustedError):
            await made(client, "a green square falls")
        assert (await made(client, PROMPT)).bill == stored.bill  # what takes no device time still goes through


@pytest.mark.timeout(300)
async def test_a_gate_that_is_killed_leaves_a_bill_to_the_next(tmp_path: Path) -> None:
    async with generator(GeneratorSettings(address="127.0.0.1:0", store=tmp_path / "store")) as maker:
        await maker.ready
        environment = {
            "REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0",
            "REELGATE_PREPROCESS_GENERATOR": f"127.0.0.1:{maker.server.port}",
            "REELGATE_PREPROCESS_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
            "REELGATE_PREPROCESS_RECONCILE_SECONDS": "0.2",
        }
        killed, second = (Service("preprocess_service", environment, None) for _ in range(2))
        await killed.start()
        await killed.ready()
        async with Client(killed.address) as client:
            name = ""
            with suppress(UnavailableError):
                async for event in client.generate(PROMPT, settings=LONG):
                    if isinstance(event, v.Accepted):
                        name = event.name
                    if isinstance(event, v.Progress) and event.stage is v.Stage.DENOISE:
                        killed.kill()
        await killed.ended()
        await second.start()
        await second.ready()
        try:
            async with Client(second.address) as client:
                await until(lambda: settled(client), 120)
                report = (await client.get(name)).report
                assert report is not None
                month = (await client.budget()).windows[-1]
                assert (month.charged_device_ms, month.held_device_ms) == (report.device_ms, 0)
                assert month.charged_tokens > 0
        finally:
            await second.stop()


async def cancelled(client: Client, prompt: str) -> int:
    """Cancel a run in its midst; the device time of its report."""
    name = ""
    with suppress(VideoCancelledError):
        async for event in client.generate(prompt, settings=LONG):
            if isinstance(event, v.Accepted):
                name = event.name
            if isinstance(event, v.Progress) and event.stage is v.Stage.DENOISE and event.step >= 2:
                await client.cancel(name)
    await until(lambda: settled(client))
    video = await client.get(name)
    assert video.state is v.State.CANCELLED
    assert video.report is not None
    assert video.report.device_ms > 0
    return video.report.device_ms


async def settled(client: Client) -> bool:
    return not (await client.budget()).open_runs
