"""Runs from the first step to the stored video, on random weights."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from generator_service import wan
from generator_service.core import Outcome, Progress, Report, Request, Reuse, Stage, Take
from generator_service.door import StoppingError
from generator_service.engine import Decoding, Denoising, Engine, Pictures
from generator_service.governor import Governor
from generator_service.health import status
from generator_service.objects import LocalObjects
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.scheduler import QueueFullError
from generator_service.store import Final, Store, StoreUnavailableError
from generator_service.worker import Pace
from tests.generator_service.panic import Panic

Tiny = Callable[..., Request]
Begin = Callable[..., Awaitable[Runner]]
LONG = 200


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
async def begin(store: Store, engine: Engine) -> AsyncIterator[Begin]:
    """Starts runners over ``store`` and stops what is left of them."""
    begun: list[Runner] = []

    async def start(*, queue: int = 8, with_engine: Engine = engine, pace: Pace | None = None) -> Runner:
        runner = Runner(store, lambda: {"embedded": with_engine}, queue=queue, pace=pace)
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


async def until(run: Run, stage: Stage, step: int) -> None:
    async for progress in run.follow():
        # A tiny step takes less time than it takes to begin following: one that is already past counts.
        if progress.stage is stage and progress.step >= step:
            return
    raise AssertionError(f"the run ended before step {step} of {stage}")


class Patient(Engine):
    """A real engine that begins its first request when it is told to, so that nobody misses a step."""

    def __init__(self, components: wan.Components) -> None:
        super().__init__(components)
        self.go = threading.Event()

    def prepare(self, take: Take) -> Denoising:
        self.go.wait()
        return super().prepare(take)


async def test_a_run_tells_every_step_and_ends_in_a_stored_video(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    patient = Patient(engine.parts)
    runner, request = await begin(with_engine=patient, pace=Pace(told=0.0)), tiny()
    run, attached = await runner.submit(request)
    seen = []
    async for progress in run.follow():
        seen.append(progress)
        patient.go.set()
    assert not attached
    assert seen == [
        Progress(stage=Stage.QUEUED),
        Progress(stage=Stage.TEXT, step=1, steps=1),
        *(Progress(stage=Stage.DENOISE, step=step, steps=4) for step in (1, 2, 3, 4)),
        *(Progress(stage=Stage.DECODE, step=step, steps=2) for step in (1, 2)),
        *(Progress(stage=stage, steps=1) for stage in (Stage.ENCODE, Stage.STORE)),
    ]
    report = run.report
    assert report is not None
    assert (report.outcome, report.reuse, report.denoise_steps, report.decode_steps) == (Outcome.DONE, Reuse.NONE, 4, 2)
    assert set(report.device_ms) == {Stage.TEXT, Stage.DENOISE, Stage.DECODE, Stage.ENCODE}
    assert report.device_ms[Stage.DENOISE] > 0
    stored = store.video(request.name)
    assert stored is not None
    assert stored[0] == report
    with av.open(io.BytesIO(stored[1])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_of_many_quick_steps_followers_are_told_the_first_the_last_and_one_now_and_then(tiny: Tiny) -> None:
    run, told = Run(tiny()), []
    steps = [(Stage.TEXT, 1, 1), *((Stage.DENOISE, step, 10) for step in range(1, 11)), (Stage.DECODE, 1, 2)]
    for i, (stage, step, of) in enumerate(steps):
        progress = Progress(stage=stage, step=step, steps=of)
        if run.made(progress, 0.02 * i, 0.05):
            told.append((stage, step))
        assert run.progress == progress
    denoise = [1, 4, 7, 10]
    assert told == [(Stage.TEXT, 1), *((Stage.DENOISE, step) for step in denoise), (Stage.DECODE, 1)]


async def test_the_same_request_again_returns_the_stored_video_without_a_step(begin: Begin, tiny: Tiny) -> None:
    first = await finished(await begin(), tiny())
    again = await finished(await begin(), tiny())
    assert (again.reuse, again.denoise_steps, again.decode_steps, again.device_ms) == (Reuse.VIDEO, 0, 0, {})
    assert again.video == first.video


async def test_another_finish_decodes_and_never_denoises(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    first = await finished(runner, tiny())
    for request in (tiny(watermark="Acme"), tiny(fps=24)):
        report = await finished(runner, request)
        assert (report.reuse, report.denoise_steps, report.decode_steps) == (Reuse.LATENTS, 0, 2)
        assert Stage.DENOISE not in report.device_ms
        assert report.video != first.video


async def test_two_finishes_asked_for_at_once_denoise_once(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    reports = await asyncio.gather(*(finished(runner, tiny(watermark=text)) for text in ("", "A", "B")))
    assert sorted(report.denoise_steps for report in reports) == [0, 0, 4]


async def test_equal_requests_in_flight_share_one_run(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    found = await asyncio.gather(*(runner.submit(tiny()) for _ in range(3)))
    assert len({id(run) for run, _ in found}) == 1
    assert sorted(attached for _, attached in found) == [False, True, True]
    reports = await asyncio.gather(*(run.wait() for run, _ in found))
    assert reports[0] == reports[1] == reports[2]


async def test_other_tenants_never_meet(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    await finished(runner, tiny())
    other = await finished(runner, tiny(tenant="other"))
    assert (other.reuse, other.denoise_steps) == (Reuse.NONE, 4)


async def test_cancel_takes_effect_within_one_step_and_asking_again_opens_a_new_run(
    begin: Begin, store: Store, tiny: Tiny
) -> None:
    runner, request = await begin(), tiny(steps=LONG)
    run, _ = await runner.submit(request)
    await until(run, Stage.DENOISE, 3)
    step = run.progress.step
    await runner.cancel(run.name)
    assert run.report is not None
    assert run.report.outcome is Outcome.CANCELLED
    assert run.report.denoise_steps <= step + 2 < LONG
    record = store.record(run.name)
    assert record is not None
    assert record.report == run.report
    again, attached = await runner.submit(request)
    assert again is not run
    assert not attached
    await runner.cancel(again.name)


class Turnstile(Engine):
    """Once ``free`` is cleared, each step waits for a permit of its own."""

    def __init__(self, components: wan.Components) -> None:
        super().__init__(components)
        self.free, self.waiting, self.permits = threading.Event(), threading.Event(), threading.Semaphore(0)
        self.free.set()

    def step(self, state: Denoising) -> None:
        if not self.free.is_set():
            self.waiting.set()
            self.permits.acquire()
        super().step(state)


async def test_cancel_takes_effect_within_one_step_whoever_else_has_begun(
    store: Store, engine: Engine, tiny: Tiny
) -> None:
    """A run of the lower of two tiers, while the higher one has as many at work as may be, and one step is made."""
    low = dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update={"tier": "low", "priority": -1}))
    high = Turnstile(engine.parts)
    runner = Runner(store, lambda: {"embedded": high, "low": Engine(low)}, queue=32)
    await runner.start()
    run, _ = await runner.submit(tiny(tier="low", steps=LONG))
    await until(run, Stage.DENOISE, 3)
    others = [(await runner.submit(tiny(seed=seed, tenant=f"{seed}", steps=LONG)))[0] for seed in range(4)]
    for other in others:
        await until(other, Stage.DENOISE, 1)
    high.free.clear()
    assert await asyncio.to_thread(high.waiting.wait, 10)
    cancelling = asyncio.create_task(runner.cancel(run.name))
    await asyncio.sleep(0.1)
    high.permits.release()
    try:
        await asyncio.wait_for(cancelling, 10)
    finally:
        high.free.set()
        high.permits.release()
        await runner.stop()
    assert run.report is not None
    assert run.report.outcome is Outcome.CANCELLED


class Pausing(Engine):
    """Waits for ``go`` after the first decode step of a video."""

    def __init__(self, components: wan.Components) -> None:
        super().__init__(components)
        self.there, self.go = threading.Event(), threading.Event()

    def decode(self, state: Decoding) -> Pictures:
        made = super().decode(state)
        if state.index == 1:
            self.there.set()
            self.go.wait(30)
        return made


async def test_cancel_takes_effect_within_one_step_of_decode_too(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    pausing, request = Pausing(engine.parts), tiny(frames=21)  # six latent frames
    runner = await begin(with_engine=pausing)
    run, _ = await runner.submit(request)
    assert await asyncio.to_thread(pausing.there.wait, 30)
    cancelling = asyncio.create_task(runner.cancel(run.name))
    await asyncio.sleep(0)
    assert run.cancelling
    pausing.go.set()
    await asyncio.wait_for(cancelling, 10)
    assert run.report is not None
    assert (run.report.outcome, run.report.denoise_steps) == (Outcome.CANCELLED, 4)
    assert run.report.decode_steps <= 2, "the one that was under way, and one more"
    assert store.video(run.name) is None


async def test_cancel_is_idempotent_and_unknown_names_are_nothing_to_it(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    await runner.cancel(tiny().name)
    run, _ = await runner.submit(tiny(steps=LONG))
    await asyncio.gather(runner.cancel(run.name), runner.cancel(run.name))
    await runner.cancel(run.name)
    assert (await finished(runner, tiny())).outcome is Outcome.DONE


async def test_who_waits_is_cancelled_at_once(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    first, _ = await runner.submit(tiny(steps=LONG))
    await until(first, Stage.DENOISE, 1)
    second, _ = await runner.submit(tiny(seed=2))
    await runner.cancel(second.name)
    assert second.report is not None
    assert (second.report.outcome, second.report.denoise_steps) == (Outcome.CANCELLED, 0)
    assert first.report is None
    await runner.cancel(first.name)


async def test_who_asks_for_a_run_that_is_being_cancelled_gets_a_new_one(begin: Begin, tiny: Tiny) -> None:
    runner, request = await begin(), tiny(steps=LONG)
    run, _ = await runner.submit(request)
    await until(run, Stage.DENOISE, 1)
    _, (again, attached) = await asyncio.gather(runner.cancel(run.name), runner.submit(request))
    assert again is not run
    assert not attached
    await runner.cancel(again.name)


async def test_a_follower_that_leaves_does_not_stop_the_run(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    run, _ = await runner.submit(tiny())
    await until(run, Stage.TEXT, 1)
    report = await run.wait()
    assert report is not None
    assert report.outcome is Outcome.DONE


async def test_a_full_queue_says_so_and_stores_nothing(begin: Begin, store: Store, tiny: Tiny) -> None:
    runner = await begin(queue=1)
    first, _ = await runner.submit(tiny(steps=LONG))
    await until(first, Stage.DENOISE, 1)
    second, _ = await runner.submit(tiny(seed=2))
    with pytest.raises(QueueFullError):
        await runner.submit(tiny(seed=3))
    assert store.record(tiny(seed=3).name) is None
    assert (await runner.submit(tiny(seed=2)))[1]
    await runner.cancel(first.name)
    assert (await second.wait()) is not None


class Meeting(Store):
    """Each look for a finished video waits for ``looks`` of them, as it may on a bucket that is far away."""

    looks: threading.Barrier | None = None

    def finished(self, name: str) -> Report | None:
        if self.looks is not None:
            self.looks.wait(10)
        return super().finished(name)


async def test_who_asks_waits_for_nobody_elses_look_at_the_store(store: Store, engine: Engine, tiny: Tiny) -> None:
    patient, meeting = Patient(engine.parts), Meeting(store.objects)
    runner = Runner(meeting, lambda: {"embedded": patient}, queue=8)
    await runner.start()
    run, _ = await runner.submit(tiny())
    meeting.looks = barrier = threading.Barrier(3, action=lambda: setattr(meeting, "looks", None))
    looking = [asyncio.ensure_future(runner.submit(tiny(seed=seed))) for seed in (1, 2)]
    assert await asyncio.wait_for(runner.submit(tiny()), 5) == (run, True), "a run in flight needs no look"
    await asyncio.to_thread(barrier.wait, 5)  # both are there at once
    assert [attached for _, attached in await asyncio.gather(*looking)] == [False, False]
    patient.go.set()
    await runner.stop()


async def test_a_video_damaged_at_its_full_length_is_made_again_once_somebody_has_looked_at_it(
    begin: Begin, store: Store, tiny: Tiny, tmp_path: Path
) -> None:
    runner = await begin()
    first = await finished(runner, tiny())
    stored = tmp_path / "store" / tiny().name / "video.mp4"
    data = stored.read_bytes()
    stored.write_bytes(data[:-3] + b"\0\1\2")
    assert store.video(tiny().name) is None
    again = await finished(runner, tiny())
    assert (again.reuse, again.video) == (Reuse.LATENTS, first.video)
    assert stored.read_bytes() == data


@pytest.mark.parametrize("file", ["video.mp4", "report.json"])
async def test_a_damaged_video_is_made_again_from_its_latents(
    begin: Begin, tiny: Tiny, tmp_path: Path, file: str
) -> None:
    runner = await begin()
    first = await finished(runner, tiny())
    stored = tmp_path / "store" / tiny().name / file
    stored.write_bytes(stored.read_bytes()[:-3])
    again = await finished(runner, tiny())
    assert (again.reuse, again.denoise_steps) == (Reuse.LATENTS, 0)
    assert again.video == first.video


async def test_what_is_deleted_of_a_finished_video_to_make_room_is_made_again_when_it_is_asked_for(
    begin: Begin, tiny: Tiny, tmp_path: Path
) -> None:
    runner, root = await begin(), tmp_path / "store"
    first = await finished(runner, tiny())
    shutil.rmtree(root / tiny().take_name)
    again = await finished(runner, tiny())
    assert (again.reuse, again.video) == (Reuse.VIDEO, first.video)
    shutil.rmtree(root / tiny().name)
    anew = await finished(runner, tiny())
    assert (anew.reuse, anew.denoise_steps, anew.video) == (Reuse.NONE, 4, first.video)
    assert (await finished(runner, tiny(watermark="Acme"))).reuse is Reuse.LATENTS


async def test_damaged_latents_are_made_again(begin: Begin, tiny: Tiny, tmp_path: Path) -> None:
    runner = await begin()
    await finished(runner, tiny())
    stored = tmp_path / "store" / tiny().take_name / "latents.safetensors"
    stored.write_bytes(stored.read_bytes()[:-3])
    again = await finished(runner, tiny(watermark="Acme"))
    assert (again.reuse, again.denoise_steps) == (Reuse.NONE, 4)


async def test_a_store_that_goes_away_delays_the_run_says_so_refuses_new_ones_and_loses_nothing(
    begin: Begin, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = await begin()
    run, _ = await runner.submit(tiny(steps=12))
    await until(run, Stage.DENOISE, 1)
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreUnavailableError):
        await runner.submit(tiny())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.wait(), 1.5)
    assert run.progress.waits_for_store
    assert not status(runner)["store"]
    assert len([each for each in caplog.records if "waits for the store" in each.getMessage()]) == 1
    (tmp_path / "store").unlink()
    (tmp_path / "away").rename(tmp_path / "store")
    report = await run.wait()
    assert report is not None
    assert (report.outcome, report.denoise_steps, report.attempts) == (Outcome.DONE, 12, 1)
    assert (await finished(runner, tiny())).outcome is Outcome.DONE
    assert status(runner)["store"]


class Broken(Engine):
    """A real engine that loses its nerve: at seed 13 a weight turns to NaN, at seed 14 decoding raises."""

    def step(self, state: Denoising) -> None:
        if state.take.seed == 13:
            state.latents = state.latents * float("nan")
        super().step(state)

    def decode(self, state: Decoding) -> Pictures:
        if state.steps == 3:
            raise RuntimeError("a secret of the server")
        return super().decode(state)


async def test_what_breaks_a_run_breaks_only_that_run(begin: Begin, engine: Engine, tiny: Tiny) -> None:
    runner = await begin(with_engine=Broken(engine.parts))
    nan = await finished(runner, tiny(seed=13))
    assert nan.failure is not None
    assert (nan.failure.reason, nan.failure.stage) == ("GENERATION_FAILED", Stage.DENOISE)
    assert "finite" in nan.failure.cause
    raised = await finished(runner, tiny(frames=9))
    assert raised.failure is not None
    assert (raised.failure.reason, raised.failure.stage) == ("GENERATION_FAILED", Stage.DECODE)
    assert "secret" not in raised.failure.cause
    assert (await finished(runner, tiny())).outcome is Outcome.DONE


class Slow(Store):
    """A bucket far away: what is stored of a take comes late."""

    def latents(self, take: str) -> tuple[Final, bytes] | None:
        _burn(0.5)
        return super().latents(take)

    def snapshot(self, take: str) -> bytes | None:
        _burn(0.5)
        return super().snapshot(take)


def _burn(seconds: float) -> None:
    """Of the process: the clock of a CPU does not see a sleep."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


async def test_what_the_store_takes_is_no_device_time_and_no_part_of_a_step(
    tmp_path: Path, engine: Engine, tiny: Tiny
) -> None:
    steps: list[float] = []
    began = 0.0

    @contextmanager
    def guard(run: Run) -> Iterator[None]:
        nonlocal began
        began = time.process_time()
        yield
        steps.append(time.process_time() - began)

    runner = Runner(Slow(tmp_path / "store"), lambda: {"embedded": engine}, queue=8, governor=Governor(guard=guard))
    await runner.start()
    made, again = await finished(runner, tiny()), await finished(runner, tiny(watermark="Acme"))
    await runner.stop()
    assert (made.reuse, again.reuse) == (Reuse.NONE, Reuse.LATENTS)
    assert made.device_ms[Stage.TEXT] < 500
    assert again.device_ms[Stage.DECODE] < 500
    assert max(steps) < 0.5


class Panicking(Store):
    """A store whose native part breaks over what it is told to."""

    over = "video"

    def put_video(self, name: str, data: bytes, report: Report, before: str | None = "") -> Report | None:
        if self.over == "video":
            raise Panic
        return super().put_video(name, data, report, before)

    def put_report(self, name: str, report: Report, video: str = "") -> Report:
        if self.over == "report":
            raise Panic
        return super().put_report(name, report, video)


async def test_a_panic_at_the_end_of_a_run_ends_that_run_and_nothing_else(
    tmp_path: Path, engine: Engine, tiny: Tiny
) -> None:
    store = Panicking(tmp_path / "store")
    runner = Runner(store, lambda: {"embedded": engine}, queue=8)
    await runner.start()
    report = await asyncio.wait_for(finished(runner, tiny()), 20)
    assert report.failure is not None
    assert report.failure.stage is Stage.STORE
    store.over = "report"
    run, _ = await runner.submit(tiny(seed=8, steps=LONG))
    await until(run, Stage.DENOISE, 1)
    await asyncio.wait_for(runner.cancel(run.name), 20)
    assert run.report is None
    store.over = ""
    assert (await finished(runner, tiny(seed=9))).outcome is Outcome.DONE
    await runner.stop()


async def test_stopping_ends_between_two_steps_without_a_report(begin: Begin, store: Store, tiny: Tiny) -> None:
    runner = await begin()
    run, _ = await runner.submit(tiny(steps=LONG))
    waiting, _ = await runner.submit(tiny(seed=2))
    await until(run, Stage.DENOISE, 2)
    await runner.stop()
    assert await run.wait() is None
    assert await waiting.wait() is None
    record = store.record(run.name)
    assert record is not None
    assert record.report is None
    with pytest.raises(StoppingError):
        await runner.submit(tiny(seed=3))


async def test_what_cannot_be_loaded_is_said_to_who_starts(store: Store) -> None:
    def load() -> Mapping[str, Engine]:
        raise FileNotFoundError("model_index.json")

    runner = Runner(store, load, queue=1)
    with pytest.raises(FileNotFoundError):
        await runner.start()
    await runner.stop()


async def test_a_tally_is_of_one_run(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    reports = [await finished(runner, tiny(seed=seed)) for seed in (1, 2)]
    assert [report.denoise_steps for report in reports] == [4, 4]
    assert dataclasses.replace(reports[0], device_ms={}).model == reports[1].model


class SlowToWrite(LocalObjects):
    """A folder of which every write takes its time; ``refusing``: and is refused then."""

    seconds = 0.0
    refusing = False

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        time.sleep(self.seconds)
        if self.refusing:
            raise OSError(28, "No space left on device")
        return super()._write(path, data, mode, sync=sync)


@pytest.fixture
async def slow(tmp_path: Path, engine: Engine) -> AsyncIterator[tuple[SlowToWrite, Runner]]:
    """A runner with room for eight over a store that is slow to write; nothing is stepped before ``go`` of its engine."""
    objects, patient = SlowToWrite(tmp_path / "slow"), Patient(engine.parts)
    runner = Runner(Store(objects), lambda: {"embedded": patient}, queue=8)
    await runner.start()
    objects.seconds = 0.3
    yield objects, runner
    objects.seconds, objects.refusing = 0.0, False
    patient.go.set()
    await runner.stop()


async def test_a_slow_store_accepts_different_requests_beside_each_other(
    slow: tuple[SlowToWrite, Runner], tiny: Tiny
) -> None:
    objects, runner = slow
    begun = time.monotonic()
    opened = await asyncio.gather(*(runner.submit(tiny(seed=seed)) for seed in range(8)))
    # One acceptance writes a claim and two requests, one after the other.
    assert time.monotonic() - begun < 8 * objects.seconds
    assert len({run for run, _ in opened}) == 8


async def test_requests_that_are_being_stored_have_their_places(slow: tuple[SlowToWrite, Runner], tiny: Tiny) -> None:
    _, runner = slow
    asked = await asyncio.gather(*(runner.submit(tiny(seed=seed)) for seed in range(12)), return_exceptions=True)
    # Eight wait, and one begins at once.
    assert sum(isinstance(each, QueueFullError) for each in asked) == 3


async def test_a_request_that_cannot_be_stored_gives_its_place_back(
    slow: tuple[SlowToWrite, Runner], tiny: Tiny
) -> None:
    objects, runner = slow
    objects.refusing = True
    asked = await asyncio.gather(*(runner.submit(tiny(seed=seed)) for seed in range(8)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailableError) for each in asked)
    assert runner.depth == (0, 0)
    objects.refusing = False
    opened = await asyncio.gather(*(runner.submit(tiny(seed=seed)) for seed in range(8)))
    assert [attached for _, attached in opened] == [False] * 8
    assert len(runner.names) == 0


async def test_equal_requests_to_a_slow_store_share_one_run(slow: tuple[SlowToWrite, Runner], tiny: Tiny) -> None:
    _, runner = slow
    opened = await asyncio.gather(*(runner.submit(tiny()) for _ in range(20)))
    assert len({run for run, _ in opened}) == 1
    assert [attached for _, attached in opened].count(False) == 1
