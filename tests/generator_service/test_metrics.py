"""What Prometheus sees of a real service that makes real videos."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import yaml

from generator_service.app import App, running
from generator_service.core import Expert, Outcome, Report, Request, Reuse, Stage
from generator_service.engine import Engine
from generator_service.memory import Rung
from generator_service.metrics import Metrics
from generator_service.objects import StoreUnavailableError
from generator_service.runner import Runner
from generator_service.settings import Settings
from generator_service.store import Store
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "generator.yaml"
TAKEN = "reelgate_generator_taken_over_total"
TIER = 'tier="embedded"'


@asynccontextmanager
async def served(folder: Path, model: Path, engine: Engine) -> AsyncIterator[tuple[App, GeneratorServiceStub]]:
    settings = Settings(
        address="127.0.0.1:0", store=folder, embedded_model=str(model), metrics_address="127.0.0.1:0", snapshot_steps=1
    )
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            yield app, GeneratorServiceStub(channel)


async def make(stub: GeneratorServiceStub, **settings: int) -> None:
    request = pb.GenerateVideoRequest(
        prompt="a red circle moves left",
        settings=pb.VideoSettings(**{"width": 32, "height": 32, "frames": 5, "steps": 4, **settings}),
    )
    assert [message async for message in stub.GenerateVideo(request)]


async def scrape(app: App) -> str:
    url = f"http://127.0.0.1:{app.metrics_port}/metrics"
    return await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())


def value(page: str, name: str, *labels: str) -> float:
    """The sample of ``name`` with all of ``labels``."""
    found = [
        line
        for line in page.splitlines()
        if re.match(rf"reelgate_generator_{name}[{{ ]", line) and all(label in line for label in labels)
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0].rsplit(" ", 1)[1])


async def test_two_videos_and_one_again_are_in_the_figures(tmp_path: Path, model_folder: Path, engine: Engine) -> None:
    counts = engine.text.states.counts, engine.text.kvs.counts
    before = [(each.made, each.reused) for each in counts]
    async with served(tmp_path / "store", model_folder, engine) as (app, stub):
        for seed in (1, 2, 1):
            await make(stub, seed=seed)
        page = await scrape(app)
    done = 'outcome="done"'
    assert value(page, "videos_total", TIER, done, 'reuse="none"') == 2
    assert value(page, "videos_total", TIER, done, 'reuse="video"') == 1
    high = value(page, "step_seconds_count", TIER, 'stage="denoise"', 'expert="high"')
    low = value(page, "step_seconds_count", TIER, 'stage="denoise"', 'expert="low"')
    assert high > 0
    assert low > 0
    assert high + low == 8
    assert value(page, "step_seconds_count", TIER, 'stage="decode"', 'expert=""') == 4
    assert value(page, "step_seconds_count", TIER, 'stage="encode"', 'expert=""') == 2
    assert value(page, "step_seconds_sum", TIER, 'stage="denoise"', 'expert="high"') > 0
    assert value(page, "queue_wait_seconds_count", TIER) == 2
    assert value(page, "queue_depth", 'state="waiting"') == value(page, "queue_depth", 'state="begun"') == 0
    for cache, (made, reused), now in zip(("states", "kv"), before, counts, strict=True):
        assert value(page, "text_lookups_total", TIER, f'cache="{cache}"', 'result="made"') == now.made
        assert value(page, "text_lookups_total", TIER, f'cache="{cache}"', 'result="reused"') == now.reused > reused
        assert now.made >= made
    written = [value(page, "snapshots_total", f'result="{each}"') for each in ("written", "superseded", "failed")]
    assert 0 < written[0] + written[1] <= 6
    assert written[2] == 0
    assert value(page, "breaker_state", TIER, 'state="closed"') == 1
    assert value(page, "breaker_state", TIER, 'state="open"') == 0
    assert value(page, "lease_held") == 1
    assert value(page, "lease_beats_total", 'result="renewed"') >= 1
    assert value(page, "store_troubles_total") == value(page, "stuck") == 0
    assert value(page, "oom_rungs_total", 'rung="tiled"') == 0


async def test_every_figure_of_the_alerts_is_exported(tmp_path: Path, model_folder: Path, engine: Engine) -> None:
    expressions = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    named = {name for text in expressions for name in re.findall(r"reelgate_generator_\w+", text)}
    async with served(tmp_path / "store", model_folder, engine) as (app, stub):
        await make(stub)
        page = await scrape(app)
    exported = set(re.findall(r"^(?:# TYPE )?(reelgate_generator_\w+)", page, re.MULTILINE))
    assert len(named) >= 6
    assert named <= exported


async def test_a_report_by_expert_adds_up_to_its_denoising(
    tmp_path: Path, engine: Engine, tiny: Callable[..., Request]
) -> None:
    runner = Runner(Store(tmp_path / "store"), lambda: {"embedded": engine}, queue=2)
    await runner.start()
    try:
        run, _ = await runner.submit(tiny(steps=12))
        report = await run.wait()
    finally:
        await runner.stop()
    assert report is not None
    assert min(report.expert_ms[Expert.HIGH], report.expert_ms[Expert.LOW]) > 0
    # Each is rounded down to milliseconds by itself.
    assert 0 <= report.device_ms[Stage.DENOISE] - sum(report.expert_ms.values()) <= 1


async def test_a_run_that_went_on_in_another_runner_is_taken_over_and_a_resume(
    tmp_path: Path, engine: Engine, tiny: Callable[..., Request]
) -> None:
    request = tiny(steps=60)
    first = Runner(Store(tmp_path / "store"), lambda: {"embedded": engine}, queue=2)
    await first.start()
    run, _ = await first.submit(request)
    async for progress in run.follow():
        if progress.stage is Stage.DENOISE and progress.step >= 2:
            break
    await first.stop()
    assert first.metrics.registry.get_sample_value(TAKEN) == 0
    second = Runner(Store(tmp_path / "store"), lambda: {"embedded": engine}, queue=2)
    await second.start()
    try:
        run, _ = await second.submit(request)
        report = await run.wait()
        read = second.metrics.registry.get_sample_value
        assert report is not None
        assert report.outcome is Outcome.DONE
        assert read(TAKEN) == 1
        assert read("reelgate_generator_resumes_total", {"tier": "embedded"}) == 1
        made = sum(
            read("reelgate_generator_step_seconds_count", {"tier": "embedded", "stage": "denoise", "expert": each}) or 0
            for each in Expert
        )
        assert made == 60 - report.resumed_steps
        # What both made, by expert, adds up as if nothing had happened.
        assert 0 <= report.device_ms[Stage.DENOISE] - sum(report.expert_ms.values()) <= 1
    finally:
        await second.stop()


async def test_an_open_breaker_and_a_rung_of_the_ladder_show(tmp_path: Path, engine: Engine) -> None:
    runner = Runner(Store(tmp_path / "store"), lambda: {"embedded": engine}, queue=2)
    await runner.start()
    try:
        assert runner.governor.admission is not None
        for name in "abc":
            runner.governor.admission.breakers["embedded"].failed(name, time.monotonic())
        runner.governor.descent.lowered[Rung.ALONE] += 1
        read = runner.metrics.registry.get_sample_value
        states = {
            each: read("reelgate_generator_breaker_state", {"tier": "embedded", "state": each})
            for each in ("closed", "open", "half_open")
        }
        assert states == {"closed": 0, "open": 1, "half_open": 0}
        assert read("reelgate_generator_oom_rungs_total", {"rung": "alone"}) == 1
    finally:
        await runner.stop()


def test_resumes_lost_steps_and_refusals_are_counted() -> None:
    metrics = Metrics()
    metrics.ended("full", Report(outcome=Outcome.DONE, resumed_steps=8, lost_steps=3))
    metrics.ended("full", Report(outcome=Outcome.CANCELLED, reuse=Reuse.LATENTS))
    metrics.refused(StoreUnavailableError())
    read = metrics.registry.get_sample_value
    assert read("reelgate_generator_resumes_total", {"tier": "full"}) == 1
    assert read("reelgate_generator_steps_lost_total", {"tier": "full"}) == 3
    cancelled = {"tier": "full", "outcome": "cancelled", "reuse": "latents"}
    assert read("reelgate_generator_videos_total", cancelled) == 1
    assert read("reelgate_generator_refused_total", {"cause": "StoreUnavailable"}) == 1


def test_a_store_that_fails_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "store" / "runs").write_text("a file where a folder should be")
    with pytest.raises(StoreUnavailableError):
        store.objects.put("runs/1", b"")
    assert store.objects.troubles == 1
