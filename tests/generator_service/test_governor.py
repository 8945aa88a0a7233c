"""Runs that run out of memory, fail and are refused, with real engines on random weights and a real allocator's error."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from generator_service.admission import DeadlineError, TooLargeError
from generator_service.allocations import Allocations
from generator_service.breaker import Breaker, BreakerOpenError
from generator_service.core import Outcome, Report, Request, Reuse, Rung, Stage
from generator_service.door import StoppingError
from generator_service.engine import Denoising, Engine, unpack
from generator_service.governor import Governor
from generator_service.health import status
from generator_service.measure import geometry
from generator_service.memory import host_bytes, predict
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.scheduler import Limits
from generator_service.store import Store
from generator_service.watchdog import Watchdog
from tests.generator_service.panic import Panic

Tiny = Callable[..., Request]
Begin = Callable[..., Awaitable[Runner]]


class Failing:
    """An allocator that refuses the steps that it is told to: ``at`` are positions among all steps, ``rungs`` bound it."""

    def __init__(self, *at: int, always: Stage | None = None) -> None:
        self.at, self.always, self.steps = set(at), always, 0
        self.refused: list[Stage] = []

    @contextmanager
    def __call__(self, run: Run) -> Iterator[None]:
        self.steps += 1
        yield
        if self.steps in self.at or run.tally.stage is self.always:
            self.refused.append(run.tally.stage)
            raise torch.OutOfMemoryError("no room")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
async def begin(store: Store, engine: Engine) -> AsyncIterator[Begin]:
    begun: list[Runner] = []

    async def start(governor: Governor, *, with_engine: Engine = engine, queue: int = 50) -> Runner:
        runner = Runner(store, lambda: {"embedded": with_engine}, queue=queue, governor=governor)
        begun.append(runner)
        await runner.start()
        return runner

    yield start
    for runner in begun:
        await runner.stop()


async def finished(runner: Runner, request: Request) -> Report:
    run, _ = await runner.submit(request)
    report = await run.wait()
    assert report is not None
    return report


# The tiny video has a step of text, four of denoising and two of decoding.
@pytest.mark.parametrize("step", range(1, 8))
async def test_memory_that_runs_out_at_any_step_costs_a_retry_and_not_the_video(
    begin: Begin, tiny: Tiny, store: Store, engine: Engine, step: int
) -> None:
    state = engine.prepare(tiny().take)
    while not state.done:
        engine.step(state)
    failing = Failing(step)
    runner = await begin(Governor(guard=failing))
    report = await finished(runner, tiny())
    assert report.outcome is Outcome.DONE
    assert len(failing.refused) == 1
    stored = store.latents(tiny().take_name)
    assert stored is not None
    assert torch.equal(unpack(stored[1]), state.latents)
    assert sum(runner.governor.descent.lowered.values()) == 1
    # What ran twice is counted once.
    assert report.denoise_steps == 4
    assert (await finished(runner, tiny(seed=8))).outcome is Outcome.DONE


async def test_one_request_at_a_time_is_the_last_rung_and_then_it_fails_with_its_reason(
    begin: Begin, tiny: Tiny
) -> None:
    failing = Failing(always=Stage.DENOISE)
    runner = await begin(Governor(guard=failing))
    report = await finished(runner, tiny())
    assert report.failure is not None
    assert (report.failure.reason, report.failure.stage, report.failure.cause) == (
        "GENERATION_FAILED",
        Stage.DENOISE,
        "out of device memory",
    )
    assert runner.governor.descent.lowered == {Rung.ALONE: 1}
    failing.always = None
    assert (await finished(runner, tiny())).outcome is Outcome.DONE


async def test_a_decode_that_runs_out_of_memory_is_made_in_tiles(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(guard=Failing(6)))
    report = await finished(runner, tiny())
    assert runner.governor.descent.lowered == {Rung.TILED: 1}
    assert report.decode_steps == 4 * 2


async def test_a_panic_in_a_step_fails_its_run_and_nothing_else(begin: Begin, tiny: Tiny) -> None:
    steps = 0

    @contextmanager
    def panics(run: Run) -> Iterator[None]:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Panic
        yield

    governor = Governor(guard=panics)
    runner = await begin(governor)
    report = await asyncio.wait_for(finished(runner, tiny()), 20)
    assert report.failure is not None
    assert (report.failure.reason, report.failure.stage) == ("GENERATION_FAILED", Stage.DENOISE)
    assert (await finished(runner, tiny(seed=8))).outcome is Outcome.DONE
    assert status(runner)["liveness"]


class Sick(Governor):
    """A device that is broken: even giving its memory back fails."""

    def relieve(self) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")


async def test_when_the_stepping_thread_cannot_go_on_health_says_so_and_others_take_its_runs(
    begin: Begin, tiny: Tiny, store: Store
) -> None:
    sick = Sick(guard=Failing(3))
    runner = await begin(sick)
    runs = [(await runner.submit(tiny(seed=seed, steps=20)))[0] for seed in (1, 2)]
    assert await asyncio.wait_for(asyncio.gather(*(run.wait() for run in runs)), 20) == [None, None]
    told = status(runner)
    assert not any(told[name] for name in ("liveness", "", "tier/embedded"))
    with pytest.raises(StoppingError):
        await runner.submit(tiny(seed=3))
    well = await begin(Governor())
    for seed in (1, 2):
        # At once, and not when a lease has run out.
        report = await asyncio.wait_for(finished(well, tiny(seed=seed, steps=20)), 10)
        assert report.outcome is Outcome.DONE
    assert not runner.heart.sure


async def test_without_the_ladder_it_fails_at_once(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(guard=Failing(3), climbing=False))
    assert (await finished(runner, tiny())).outcome is Outcome.FAILED


async def test_the_one_alone_ends_while_others_wait_and_they_end_after_it(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(guard=Failing(9)))
    reports = await asyncio.gather(*(finished(runner, tiny(tenant=tenant, steps=8)) for tenant in "abcd"))
    assert [report.outcome for report in reports] == [Outcome.DONE] * 4
    assert sum(runner.governor.descent.lowered.values()) == 1


async def test_what_no_rung_holds_is_refused_before_it_is_stored(begin: Begin, tiny: Tiny, store: Store) -> None:
    runner = await begin(Governor(memory_bytes=1 << 20))
    with pytest.raises(TooLargeError):
        await runner.submit(tiny())
    assert store.record(tiny().name) is None


class Together:
    """Counts how many runs are between their first step and their last."""

    def __init__(self) -> None:
        self.inside: set[str] = set()
        self.most = 0

    @contextmanager
    def __call__(self, run: Run) -> Iterator[None]:
        self.inside.add(run.name)
        self.most = max(self.most, len(self.inside))
        yield
        if run.tally.decode_steps == 2:
            self.inside.discard(run.name)


@pytest.mark.parametrize(("roomy", "most"), [(True, 2), (False, 1)])
async def test_runs_that_have_begun_count_when_another_would_begin_beside_them(
    begin: Begin, tiny: Tiny, engine: Engine, roomy: bool, most: int
) -> None:
    sizes, take = geometry(engine.parts), tiny().take
    need = predict(sizes, sizes.shape(take))
    # One fits; two fit only where there is room for what the other keeps between its steps.
    room = need.peak() + (need.between() if roomy else need.between() // 2)
    together = Together()
    runner = await begin(Governor(guard=together, memory_bytes=room))
    reports = await asyncio.gather(*(finished(runner, tiny(tenant=tenant, steps=8)) for tenant in "ab"))
    assert [report.outcome for report in reports] == [Outcome.DONE] * 2
    assert [report.rung for report in reports] == [Rung.PLAIN] * 2
    assert together.most == most


async def test_a_device_that_says_its_peak_corrects_the_prediction(begin: Begin, tiny: Tiny, engine: Engine) -> None:
    weights = geometry(engine.parts).weights
    device = Allocations(held=3 * weights)  # something else lies on it that no formula knows
    governor = Governor(guard=lambda run: device, peak=lambda: device.peak)
    runner = await begin(governor)
    take = tiny().take
    assert governor.admission is not None
    before = governor.admission.fit(take).predicted
    await finished(runner, tiny())
    assert governor.admission.fit(take).predicted > before + weights
    assert device.live < 3.2 * weights


async def test_a_deadline_is_refused_once_the_tier_was_measured_and_joining_is_not(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(measure=True))
    with pytest.raises(DeadlineError):
        await runner.submit(tiny(steps=100), left=0.01)
    first, _ = await runner.submit(tiny(steps=100), left=60.0)
    again, attached = await runner.submit(tiny(steps=100), left=0.01)
    assert attached
    assert again is first
    await runner.cancel(first.name)
    await finished(runner, tiny())
    assert (await runner.submit(tiny(), left=0.001))[0].report is not None


async def test_a_deadline_is_judged_by_the_decode_alone_where_the_latents_are_stored(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(measure=True))
    await finished(runner, tiny(steps=100))
    admission = runner.governor.admission
    assert admission is not None
    whole = admission.seconds(tiny(steps=100).take)
    rest = admission.seconds(tiny(steps=100).take, frozenset({Stage.TEXT, Stage.DENOISE}))
    assert whole is not None
    assert rest is not None
    assert rest < 0.5 * whole
    between = (whole + rest) / 2
    with pytest.raises(DeadlineError):
        await runner.submit(tiny(steps=100, seed=2, watermark="Acme"), left=between)
    run, _ = await runner.submit(tiny(steps=100, watermark="Acme"), left=between)
    report = await run.wait()
    assert report is not None
    assert (report.reuse, report.denoise_steps) == (Reuse.LATENTS, 0)


class Nan(Engine):
    """Loses its nerve while ``ill``."""

    ill = True

    def step(self, state: Denoising) -> None:
        if self.ill:
            state.latents = state.latents * float("nan")
        super().step(state)


async def test_a_tier_that_fails_again_and_again_rests_says_so_and_comes_back(
    begin: Begin, engine: Engine, tiny: Tiny
) -> None:
    ill = Nan(engine.parts)
    governor = Governor(breaker=lambda tier: Breaker(tier, failures=2, seconds=0.3))
    runner = await begin(governor, with_engine=ill)
    for seed in (1, 2):
        assert (await finished(runner, tiny(seed=seed))).outcome is Outcome.FAILED
    with pytest.raises(BreakerOpenError) as caught:
        await runner.submit(tiny(seed=3))
    assert caught.value.retry_after >= 1.0
    assert status(runner) == {"liveness": True, "store": True, "": False, "tier/embedded": False}
    await asyncio.sleep(0.35)
    ill.ill = False
    assert (await finished(runner, tiny(seed=3))).outcome is Outcome.DONE
    assert status(runner) == {"liveness": True, "store": True, "": True, "tier/embedded": True}


class Constant(Engine):
    def step(self, state: Denoising) -> None:
        super().step(state)
        if state.done:
            state.latents = torch.zeros_like(state.latents)


async def test_constant_latents_fail_with_their_reason(begin: Begin, engine: Engine, tiny: Tiny) -> None:
    report = await finished(await begin(Governor(), with_engine=Constant(engine.parts)), tiny())
    assert report.failure is not None
    assert report.failure.cause == "the latents are constant"


async def test_a_step_that_takes_far_too_long_fails_with_its_reason_and_is_seen_while_it_lasts(
    begin: Begin, tiny: Tiny
) -> None:
    time = 0.0
    seen: list[dict[str, bool]] = []

    @contextmanager
    def slow(run: Run) -> Iterator[None]:
        nonlocal time
        if run.tally.denoise_steps == 2:
            time += 1e4
            seen.append(status(runner))
        yield

    governor = Governor(guard=slow, watchdog=Watchdog(), clock=lambda: time)
    runner = await begin(governor)
    report = await finished(runner, tiny())
    assert report.failure is not None
    assert (report.failure.stage, report.failure.cause) == (Stage.DENOISE, "a step took far longer than predicted")
    assert seen == [{"liveness": False, "store": True, "": False, "tier/embedded": False}]
    assert status(runner)["liveness"]


async def test_a_step_that_makes_graphs_for_its_shape_is_not_stuck(begin: Begin, engine: Engine, tiny: Tiny) -> None:
    time, steps = 0.0, 0

    @contextmanager
    def slow(run: Run) -> Iterator[None]:
        nonlocal time, steps
        steps += 1
        time += 1e3 if steps == 2 else 0.0  # its first in denoise
        yield

    compiling = Engine(dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update={"compile": True})))
    governor = Governor(guard=slow, watchdog=Watchdog(), clock=lambda: time)
    runner = await begin(governor, with_engine=compiling)
    outcomes = []
    for width, seed in ((32, 0), (64, 0), (64, 1)):
        steps = 0
        outcomes.append((await finished(runner, tiny(width=width, seed=seed))).outcome)
    assert outcomes == [Outcome.DONE, Outcome.DONE, Outcome.FAILED]


async def test_estimates_come_from_measured_steps_and_runs_teach_them(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(measure=True))
    admission = runner.governor.admission
    assert admission is not None
    for seed in range(9):
        await finished(runner, tiny(width=64, height=64, frames=9, seed=seed))
    estimate = admission.estimate(tiny(width=64, height=64, frames=9).take)
    assert estimate is not None
    report = await finished(runner, tiny(width=64, height=64, frames=9, seed=99))
    spent = sum(report.device_ms.values()) / 1000
    assert 0.3 * spent < estimate.p50 <= estimate.p95 < 5 * spent
    assert 0.0 < admission.estimator.error("embedded") < 5.0


async def test_a_prompt_that_was_encoded_before_is_estimated_cheaper(begin: Begin, tiny: Tiny) -> None:
    """The tiny shape's text is a good part of what it takes."""
    runner = await begin(Governor(measure=True))
    admission = runner.governor.admission
    assert admission is not None
    for seed in range(4):
        await finished(runner, tiny(seed=seed, prompt=f"a ring {seed}"))
        await finished(runner, tiny(seed=seed, prompt="a dot"))
    known, new = (admission.estimate(tiny(seed=99, prompt=prompt).take) for prompt in ("a dot", "a bar"))
    assert known is not None
    assert new is not None
    assert known.p50 < 0.9 * new.p50
    report = await finished(runner, tiny(seed=99, prompt="a dot"))
    assert report.device_ms[Stage.TEXT] < 1000 * (new.p50 - known.p50)


async def test_another_finish_of_a_stored_take_teaches_no_quantile(begin: Begin, tiny: Tiny) -> None:
    runner = await begin(Governor(measure=True))
    await finished(runner, tiny())
    for mark in "abcdefghij":
        await finished(runner, tiny(watermark=mark))
    admission = runner.governor.admission
    assert admission is not None
    assert len(admission.estimator._spreads["embedded"]._runs) == 1


def test_the_expert_of_the_next_step_follows_the_noise(engine: Engine, tiny: Tiny) -> None:
    from generator_service.core import Progress

    governor = Governor(Limits(group=5.0))
    governor.loaded({"embedded": engine})
    request = tiny(steps=12)
    state, expected = engine.prepare(request.take), []
    while not state.done:
        expert, _ = engine._expert(state.scheduler.timesteps[state.index], request.take)
        expected.append("embedded/high" if expert is engine.parts.transformer else "embedded/low")
        state.index += 1
    found = [governor.expert(request, Progress(stage=Stage.DENOISE, step=k, steps=12)) for k in range(12)]
    assert found == expected
    assert len(set(found)) == 2
    assert governor.expert(request, Progress(stage=Stage.DECODE, step=1, steps=2)) == ""


def test_the_host_has_memory() -> None:
    assert host_bytes() > 1 << 28


async def test_a_tiled_video_is_close_to_the_whole_one(begin: Begin, tiny: Tiny, store: Store) -> None:
    import io

    import av

    def pictures(request: Request) -> np.ndarray:
        stored = store.video(request.name)
        assert stored is not None
        with av.open(io.BytesIO(stored[1])) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    whole, tiled = tiny(width=96, height=96, fps=8), tiny(width=96, height=96, fps=9)
    plain = await finished(await begin(Governor()), whole)
    runner = await begin(Governor(guard=Failing(2)))
    lowered = await finished(runner, tiled)
    assert runner.governor.descent.lowered == {Rung.TILED: 1}
    assert (plain.rung, plain.tiled, lowered.rung, lowered.tiled) == (Rung.PLAIN, False, Rung.TILED, True)
    # Who asks for it later is told so too.
    again = await finished(runner, tiled)
    assert (again.reuse, again.rung, again.tiled) == (Reuse.VIDEO, Rung.TILED, True)
    first, second = pictures(whole).astype(float), pictures(tiled).astype(float)
    assert first.shape == second.shape
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.7
