"""Runs whose tier batches, through the whole service on random weights."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from generator_service import wan
from generator_service.core import Outcome, Report, Request, Stage, Take
from generator_service.engine import Denoising, Engine, unpack
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.store import Store
from generator_service.worker import Pace

Tiny = Callable[..., Request]
Begin = Callable[..., Awaitable[Runner]]


class Sharing(Engine):
    """A real engine that batches, begins its first request when it is told to, and knows what it was asked for.

    From step ``upset`` of the request with seed 3 on, that one's latents are not finite; ``refuse``: there is no room for a step
    of more than one.
    """

    def __init__(
        self, parts: wan.Components, *, upset: int | None = None, refuse: bool = False, **settings: Any
    ) -> None:
        tier = parts.tier.model_copy(update={"batch": True, **settings})
        super().__init__(dataclasses.replace(parts, tier=tier, execution="0" * 64))
        self.go = threading.Event()
        self.sizes: list[int] = []
        self.busy_ns = 0
        self._upset, self._refuse = upset, refuse

    def prepare(self, take: Take) -> Denoising:
        self.go.wait()
        return super().prepare(take)

    def step_many(self, states: Sequence[Denoising]) -> list[Exception | None]:
        if self._refuse and len(states) > 1:
            raise torch.OutOfMemoryError("no room")
        for state in states:
            if state.take.seed == 3 and state.index == self._upset:
                state.latents[:] = float("nan")
        begun = time.process_time_ns()
        made = super().step_many(states)
        self.busy_ns += time.process_time_ns() - begun
        self.sizes.append(len(states))
        return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
async def begin(store: Store) -> AsyncIterator[Begin]:
    begun: list[Runner] = []

    async def start(engine: Engine, **more: Any) -> Runner:
        runner = Runner(store, lambda: {"embedded": engine}, queue=20, **more)
        begun.append(runner)
        await runner.start()
        return runner

    yield start
    for runner in begun:
        await runner.stop()


async def submitted(runner: Runner, requests: list[Request], engine: Engine) -> list[Run]:
    """All in line before the first begins."""
    runs = [(await runner.submit(request))[0] for request in requests]
    if isinstance(engine, Sharing):
        engine.go.set()
    return runs


async def reports(runs: list[Run]) -> list[Report]:
    found = [await run.wait() for run in runs]
    return [report for report in found if report is not None]


def close_to_alone(store: Store, engine: Engine, request: Request) -> bool:
    state = engine.prepare(request.take)
    while not state.done:
        engine.step(state)
    stored = store.latents(request.take_name)
    assert stored is not None
    return bool((unpack(stored[1]) - state.latents).abs().max() <= 1e-4)


async def test_eight_small_requests_of_two_tenants_share_their_steps(
    begin: Begin, components: wan.Components, engine: Engine, store: Store, tiny: Tiny
) -> None:
    shared = Sharing(components)
    requests = [tiny(seed=seed, tenant="ab"[seed % 2]) for seed in range(8)]
    made = await reports(await submitted(await begin(shared), requests, shared))
    assert [(report.outcome, report.denoise_steps) for report in made] == [(Outcome.DONE, 4)] * 8
    assert shared.sizes == [8] * 4
    assert all(close_to_alone(store, engine, request) for request in requests)


async def test_an_exact_tier_never_batches(begin: Begin, engine: Engine, store: Store, tiny: Tiny) -> None:
    exact = Engine(engine.parts)
    requests = [tiny(seed=seed) for seed in range(5)]
    made = await reports(await submitted(await begin(exact), requests, exact))
    assert [report.outcome for report in made] == [Outcome.DONE] * 5
    assert exact.passes == {1: 5 * 4 * 2}


async def test_other_shapes_and_large_ones_do_not_come_along(
    begin: Begin, components: wan.Components, tiny: Tiny
) -> None:
    """8 latent tokens a pass fit a budget of 40 twice with guidance; 16 do not."""
    shared = Sharing(components, batch_tokens=40)
    requests = [tiny(seed=1), tiny(seed=2), tiny(seed=3, width=64), tiny(seed=4, width=64)]
    made = await reports(await submitted(await begin(shared), requests, shared))
    assert [report.outcome for report in made] == [Outcome.DONE] * 4
    assert sorted(shared.sizes) == [1] * 8 + [2] * 4
    assert max(shared.passes) == 4


async def test_the_time_of_a_batch_is_split_and_adds_up_to_what_was_busy(
    begin: Begin, components: wan.Components, tiny: Tiny
) -> None:
    """Not more than a tenth of it is the bookkeeping around the engine."""
    shared = Sharing(components)
    requests = [tiny(seed=seed, steps=40, guidance=1.0 if seed == 0 else 4.0) for seed in range(6)]
    runs = await submitted(await begin(shared, pace=Pace(steps=1000)), requests, shared)
    await reports(runs)
    spent = [run.tally.device_ns[Stage.DENOISE] for run in runs]
    assert shared.busy_ns <= sum(spent) <= 1.1 * shared.busy_ns
    # Without guidance it is one row instead of two.
    assert 0.4 <= spent[0] / spent[1] <= 0.7
    assert max(spent[1:]) <= 1.2 * min(spent[1:])


async def test_whoever_is_not_finite_fails_alone(
    begin: Begin, components: wan.Components, engine: Engine, store: Store, tiny: Tiny
) -> None:
    shared = Sharing(components, upset=2)
    requests = [tiny(seed=seed) for seed in range(5)]
    made = await reports(await submitted(await begin(shared), requests, shared))
    assert [report.outcome is Outcome.DONE for report in made] == [True, True, True, False, True]
    assert made[3].failure is not None
    assert (made[3].failure.stage, made[3].failure.cause) == (Stage.DENOISE, "the latents are not finite")
    assert made[3].device_ms[Stage.DENOISE] > 0
    assert all(close_to_alone(store, engine, request) for request in requests if request.take.seed != 3)


async def test_a_member_that_is_cancelled_leaves_within_a_step(
    begin: Begin, components: wan.Components, tiny: Tiny
) -> None:
    shared = Sharing(components)
    runner = await begin(shared)
    runs = await submitted(runner, [tiny(seed=seed, steps=100) for seed in range(4)], shared)
    async for progress in runs[2].follow():
        if progress.stage is Stage.DENOISE and progress.step >= 5:
            break
    # Two requests to stop at once: each run has its own.
    await asyncio.gather(runner.cancel(runs[2].name), runner.cancel(runs[1].name))
    left = len(shared.sizes)
    made = await reports(runs)
    assert [report.outcome for report in made] == [Outcome.DONE, Outcome.CANCELLED, Outcome.CANCELLED, Outcome.DONE]
    assert all(report.denoise_steps < 100 for report in made[1:3])
    assert max(shared.sizes[left:]) <= 3
    assert shared.sizes[-1] == 2


async def test_a_shared_step_that_finds_no_memory_is_made_one_by_one(
    begin: Begin, components: wan.Components, store: Store, engine: Engine, tiny: Tiny
) -> None:
    shared = Sharing(components, refuse=True)
    runner = await begin(shared)
    requests = [tiny(seed=seed) for seed in range(4)]
    made = await reports(await submitted(runner, requests, shared))
    assert [(report.outcome, report.denoise_steps) for report in made] == [(Outcome.DONE, 4)] * 4
    assert shared.sizes == [1] * 16
    # Nobody went down the ladder: alone there was room.
    assert not runner.governor.descent.lowered
    assert all(close_to_alone(store, engine, request) for request in requests)


async def test_members_go_on_from_their_own_snapshots_after_a_stop(
    begin: Begin, components: wan.Components, engine: Engine, store: Store, tiny: Tiny
) -> None:
    shared = Sharing(components)
    first = await begin(shared, pace=Pace(steps=2))
    requests = [tiny(seed=seed, steps=40) for seed in range(3)]
    runs = await submitted(first, requests, shared)
    async for progress in runs[0].follow():
        if progress.stage is Stage.DENOISE and progress.step >= 6:
            break
    await first.stop()
    second = Sharing(components)
    second.go.set()
    runner = await begin(second)
    made = await reports([(await runner.submit(request))[0] for request in requests])
    assert all(report.outcome is Outcome.DONE and report.resumed_steps >= 6 for report in made)
    assert [report.denoise_steps for report in made] == [40] * 3
    assert max(second.sizes) > 1
    assert all(close_to_alone(store, engine, request) for request in requests)
