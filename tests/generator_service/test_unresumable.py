"""A run of a tier that carries over its steps what no snapshot holds starts again, and its report says so."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import torch

from generator_service.core import Request, Stage
from generator_service.engine import Engine, unpack
from generator_service.runner import Runner
from generator_service.store import Store
from generator_service.tier import StepCache
from generator_service.worker import Pace
from tests.generator_service.test_recovery import appears, at, ended
from tests.generator_service.trained import latents

CACHED = StepCache(kind="taylorseer", interval=3)
STEPS = 90


@pytest.fixture
def skipping(trained: Callable[..., Engine]) -> Engine:
    """With the execution that the takes of `tiny` name."""
    return Engine(dataclasses.replace(trained(step_cache=CACHED).parts, execution="0" * 64))


@pytest.fixture
async def begin(tmp_path: Path, skipping: Engine) -> AsyncIterator[Callable[[], Runner]]:
    begun: list[Runner] = []

    def start() -> Runner:
        store = Store(str(tmp_path / "store"))
        begun.append(Runner(store, lambda: {"embedded": skipping}, queue=8, lease_seconds=1.0, pace=Pace(steps=1)))
        return begun[-1]

    yield start
    for runner in begun:
        await runner.stop()


async def test_it_takes_no_snapshot_starts_again_and_says_so(
    begin: Callable[[], Runner], skipping: Engine, tiny: Callable[..., Request], tmp_path: Path
) -> None:
    request = tiny(steps=STEPS)
    first = begin()
    await first.start()
    run, _ = await first.submit(request)
    await at(run, Stage.DENOISE, 20)
    await first.stop()
    store = Store(str(tmp_path / "store"))
    assert store.snapshot(request.take_name) is None
    second = begin()
    await second.start()
    report = await ended(await appears(second, request.name))
    assert (report.restarted, report.resumed_steps, report.denoise_steps) == (True, 0, STEPS)
    assert report.attempts == 2
    stored = store.latents(request.take_name)
    assert stored is not None
    assert torch.equal(unpack(stored[1]), latents(skipping, request.take))
