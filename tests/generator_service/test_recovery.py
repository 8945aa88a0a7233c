"""Two generators on one store, in one process: who goes away, who takes over, who watches."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from generator_service import wan
from generator_service.claims import Claim, Claims
from generator_service.core import Outcome, Progress, Report, Request, Reuse, Stage
from generator_service.engine import Decoding, Denoising, Engine, Pictures
from generator_service.lease import Lease
from generator_service.lifeline import LifeLine
from generator_service.objects import LocalObjects, StoreUnavailableError
from generator_service.run import Run
from generator_service.runner import Runner
from generator_service.store import Store
from generator_service.worker import Pace

Tiny = Callable[..., Request]
Begin = Callable[..., Awaitable[Runner]]
LONG = 90
LEASE_S = 1.0


class Bucket(LocalObjects):
    """A folder that can be as far away as a bucket, and as gone or as full as a disk."""

    error: Exception | None = None
    writes_only = False

    def alive(self, name: str) -> LifeLine | None:
        return None

    def get(self, path: str) -> object:  # type: ignore[override]
        if self.error is not None and not self.writes_only:
            raise StoreUnavailableError from self.error
        return super().get(path)

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        if self.error is not None:
            raise self.error
        return super()._write(path, data, mode, sync=sync)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "store")


@pytest.fixture
def store(bucket: Bucket) -> Store:
    return Store(bucket)


@pytest.fixture
async def begin(store: Store, engine: Engine) -> AsyncIterator[Begin]:
    begun: list[Runner] = []

    async def start(*, over: Store = store, queue: int = 8, with_engine: Engine = engine) -> Runner:
        runner = Runner(over, lambda: {"embedded": with_engine}, queue=queue, lease_seconds=LEASE_S, pace=Pace(steps=1))
        begun.append(runner)
        await runner.start()
        return runner

    yield start
    for runner in begun:
        await runner.stop()


async def at(run: Run, stage: Stage, step: int) -> None:
    async for progress in run.follow():
        if progress.stage is stage and progress.step >= step:
            return
    raise AssertionError("the run ended before that")


async def ended(run: Run) -> Report:
    report = await run.wait()
    assert report is not None
    return report


async def reported(store: Store, name: str) -> Report:
    for _ in range(1000):
        record = store.record(name)
        if record is not None and record.report is not None:
            return record.report
        await asyncio.sleep(0.01)
    raise AssertionError("it did not end")


async def appears(runner: Runner, name: str) -> Run:
    for _ in range(1000):
        run = runner.active(name)
        if run is not None and run.held is not None:
            return run
        await asyncio.sleep(0.01)
    raise AssertionError("nobody took it over")


async def test_what_was_stopped_in_good_order_goes_on_at_the_same_step_and_is_no_failed_attempt(
    begin: Begin, store: Store, tiny: Tiny, tmp_path: Path
) -> None:
    first, request = await begin(), tiny(steps=LONG)
    run, _ = await first.submit(request)
    await at(run, Stage.DENOISE, 5)
    await first.stop()
    made = store.made(request)
    assert await run.wait() is None
    second = await begin()
    report = await ended(await appears(second, request.name))
    assert (report.outcome, report.denoise_steps, report.lost_steps) == (Outcome.DONE, LONG, 0)
    assert (report.resumed_steps, report.attempts, report.run) == (made.mark, 2, made.run)
    undisturbed = Store(tmp_path / "other")
    third = await begin(over=undisturbed)
    assert (await ended((await third.submit(request))[0])).video == report.video


async def test_a_follower_here_of_a_run_there_sees_it_move_and_end(begin: Begin, store: Store, tiny: Tiny) -> None:
    first, second, request = await begin(), await begin(), tiny(steps=LONG)
    run, _ = await first.submit(request)
    watched, attached = await second.submit(request)
    assert attached
    assert watched.held is None
    seen = [progress async for progress in watched.follow()]
    assert any(progress.stage is Stage.DENOISE for progress in seen)
    assert await ended(watched) == await ended(run)
    assert second.active(request.name) is None
    assert (await second.submit(request))[0].report is not None


class Stuck(Bucket):
    """Once ``shut``, the owner's report hangs on its way and its lease cannot be renewed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.shut, self.reporting, self.on = False, threading.Event(), threading.Event()

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        if self.shut and path.startswith("generators/"):
            raise OSError(113, "No route to host")
        if self.shut and path.startswith("videos/") and path.endswith("/report.json"):
            self.reporting.set()
            self.on.wait(20)
        return super()._write(path, data, mode, sync=sync)


class Faulty(Engine):
    def decode(self, state: Decoding) -> Pictures:
        raise RuntimeError("a fault of this machine only")


async def test_a_report_that_comes_after_another_has_ended_the_run_changes_nothing(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny, tmp_path: Path
) -> None:
    stuck, request = Stuck(tmp_path / "store"), tiny()
    first = await begin(over=Store(stuck), with_engine=Faulty(engine.parts))
    stuck.shut = True
    run, _ = await first.submit(request)
    assert await asyncio.to_thread(stuck.reporting.wait, 10)
    second = await begin()
    report = await ended(await appears(second, request.name))
    assert (report.outcome, report.attempts) == (Outcome.DONE, 2)
    stuck.shut = False
    stuck.on.set()
    told = await asyncio.wait_for(run.wait(), 10)
    assert told in (None, report)
    assert store.finished(request.name) == report
    assert list(store.objects.paths("runs/")) == []


class Late(Store):
    """Calls ``then`` once, between its first look for a finished video and the answer."""

    then: Callable[[], None] | None = None

    def finished(self, name: str) -> Report | None:
        found = super().finished(name)
        then, self.then = self.then, None
        if then is not None:
            then()
        return found


async def test_a_video_that_is_finished_elsewhere_while_it_is_asked_for_here_is_returned_and_kept(
    begin: Begin, store: Store, tiny: Tiny
) -> None:
    late = Late(store.objects)
    first, second, request = await begin(), await begin(over=late), tiny()
    run, _ = await first.submit(request)
    loop = asyncio.get_running_loop()
    late.then = lambda: asyncio.run_coroutine_threadsafe(run.wait(), loop).result(10) and None
    again, attached = await second.submit(request)
    assert not attached
    assert again.report is not None
    assert (again.report.reuse, again.report.video) == (Reuse.VIDEO, (await ended(run)).video)
    record = store.record(request.name)
    assert record is not None
    assert record.report == run.report
    assert Claims(store.objects).read(request.name) is None


async def test_a_cancel_here_reaches_the_run_there(begin: Begin, store: Store, tiny: Tiny) -> None:
    first, second, request = await begin(), await begin(), tiny(steps=LONG)
    run, _ = await first.submit(request)
    await at(run, Stage.DENOISE, 2)
    await second.cancel(request.name)
    report = await ended(run)
    assert report.outcome is Outcome.CANCELLED
    assert report.denoise_steps < LONG
    assert store.snapshot(request.take_name) is None
    again, attached = await first.submit(tiny(steps=LONG))
    assert not attached
    assert not again.cancelling
    assert not list(store.objects.paths("cancels/"))
    await first.cancel(again.name)


class Gated(Engine):
    """Before step ``at`` it says that it is there, and waits for ``go``."""

    at = 3

    def __init__(self, components: wan.Components) -> None:
        super().__init__(components)
        self.there, self.go = threading.Event(), threading.Event()

    def step(self, state: Denoising) -> None:
        if state.index == self.at:
            self.there.set()
            self.go.wait(30)
        super().step(state)


async def test_stopping_does_not_wait_for_the_cancel_of_another_generator_and_the_next_one_hears_it(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    gated = Gated(engine.parts)
    runner, request = await begin(with_engine=gated), tiny(steps=LONG)
    run, _ = await runner.submit(request)
    await asyncio.to_thread(gated.there.wait)
    assert run.held is not None
    await asyncio.to_thread(Claims(store.objects).ask_to_cancel, run.name, run.held.claim.run)
    for _ in range(1000):
        if run.cancelling:
            break
        await asyncio.sleep(0.01)
    assert run.cancelling
    stopping = asyncio.ensure_future(runner.stop())
    await asyncio.sleep(0.1)
    gated.go.set()
    await asyncio.wait_for(stopping, 10)
    assert await run.wait() is None
    await begin()
    assert (await reported(store, request.name)).outcome is Outcome.CANCELLED


async def test_who_cancels_while_the_service_stops_is_heard_by_who_takes_the_run_up(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    gated = Gated(engine.parts)
    runner = await begin(with_engine=gated)
    first, _ = await runner.submit(tiny(steps=LONG))
    waiting, _ = await runner.submit(tiny(seed=2))
    await asyncio.to_thread(gated.there.wait)
    stopping = asyncio.ensure_future(runner.stop())
    await asyncio.sleep(0)
    cancels = [asyncio.ensure_future(runner.cancel(run.name)) for run in (first, waiting)]
    await asyncio.sleep(0.1)
    assert not any(cancel.done() for cancel in cancels)
    gated.go.set()
    async with asyncio.timeout(10):
        await asyncio.gather(stopping, *cancels)
    await begin()
    for run in (first, waiting):
        assert (await reported(store, run.name)).outcome is Outcome.CANCELLED


async def test_a_cancel_of_a_run_whose_owner_is_dead_is_heard_by_who_takes_it_over(
    begin: Begin, store: Store, tiny: Tiny
) -> None:
    request = tiny(steps=LONG)
    claims = Claims(store.objects)
    held = claims.open(request.name, "somebody who is dead")
    assert held is not None
    store.accept(request)
    claims.ask_to_cancel(request.name, held.claim.run)
    await begin()
    for _ in range(500):
        record = store.record(request.name)
        if record is not None and record.report is not None:
            assert record.report.outcome is Outcome.CANCELLED
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("it was not cancelled")


class Hanging(Bucket):
    """Hangs over the report of a video until ``go``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.there, self.go = threading.Event(), threading.Event()

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        if path.startswith("videos/") and path.endswith("report.json"):
            self.there.set()
            self.go.wait(30)
        return super()._write(path, data, mode, sync=sync)


class Idle(Engine):
    """Makes no step without noting it."""

    steps = 0

    def step(self, state: Denoising) -> None:
        self.steps += 1
        super().step(state)


async def test_a_cancel_whose_owner_hangs_before_its_report_is_heard_by_who_takes_the_run_over(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny, tmp_path: Path
) -> None:
    stuck, idle, request = Hanging(tmp_path / "store"), Idle(engine.parts), tiny(steps=LONG)
    first, second = await begin(over=Store(stuck)), await begin(with_engine=idle)
    run, _ = await first.submit(request)
    await at(run, Stage.DENOISE, 2)
    cancelling = asyncio.create_task(first.cancel(request.name))
    try:
        assert await asyncio.to_thread(stuck.there.wait, 10)
        store.objects.delete(f"generators/{first.heart.owner}")
        report = await reported(store, request.name)
    finally:
        stuck.go.set()
    assert (report.outcome, report.attempts, idle.steps) == (Outcome.CANCELLED, 1, 0)
    await asyncio.wait_for(cancelling, 10)
    await second.cancel(request.name)  # returns when it has ended there too
    assert (Claims(store.objects).read(request.name), Claims(store.objects).cancels()) == (None, [])


async def test_a_cancel_by_its_owner_leaves_no_wish_wherever_the_run_is(begin: Begin, store: Store, tiny: Tiny) -> None:
    runner, claims = await begin(), Claims(store.objects)
    long, _ = await runner.submit(tiny(steps=LONG))
    waiting, _ = await runner.submit(tiny(seed=2))
    await at(long, Stage.DENOISE, 2)
    await asyncio.gather(runner.cancel(waiting.name), runner.cancel(waiting.name), runner.cancel(long.name))
    ending, _ = await runner.submit(tiny(seed=3))
    await at(ending, Stage.DECODE, 2)
    await runner.cancel(ending.name)
    assert [run.report is not None for run in (long, waiting, ending)] == [True] * 3
    assert (claims.names(), claims.cancels()) == ([], [])


async def test_a_cancel_works_while_the_store_takes_no_wish(
    begin: Begin, store: Store, bucket: Bucket, tiny: Tiny
) -> None:
    runner = await begin()
    run, _ = await runner.submit(tiny(steps=LONG))
    await at(run, Stage.DENOISE, 2)
    bucket.error = OSError(28, "No space left on device")
    cancelling = asyncio.create_task(runner.cancel(run.name))
    await asyncio.sleep(0.3)
    bucket.error = None
    await asyncio.wait_for(cancelling, 10)
    assert (await ended(run)).outcome is Outcome.CANCELLED
    assert Claims(store.objects).cancels() == []


class Between(Bucket):
    """Calls ``then`` once, after the object of ``path`` was looked at and before the answer is used."""

    path = ""
    then: Callable[[], None]

    def get(self, path: str) -> object:  # type: ignore[override]
        found = super().get(path)
        self._maybe(path)
        return found

    def oldest_first(self, prefix: str) -> list[str]:
        found = super().oldest_first(prefix)
        self._maybe(prefix)
        return found

    def _maybe(self, path: str) -> None:
        if path == self.path:
            self.path = ""
            self.then()


async def test_a_scan_that_forgets_a_late_wish_leaves_the_run_that_was_accepted_meanwhile(
    begin: Begin, tiny: Tiny, tmp_path: Path
) -> None:
    between = Between(tmp_path / "store")
    claims, name = Claims(between), tiny().name
    between.put(f"cancels/{name.removeprefix('videos/')}", b"a run that has just ended")
    lease = Lease(between, ttl=60.0)
    between.then = lambda: claims.open(name, lease.name)  # type: ignore[assignment,return-value]
    between.path = "runs/"
    await begin(over=Store(between))
    for _ in range(500):
        if not claims.cancels():
            break
        await asyncio.sleep(0.01)
    assert claims.cancels() == []
    found = claims.read(name)
    assert found is not None
    assert found.claim.owner == lease.name
    lease.release()


async def test_who_clears_up_after_the_dead_leaves_the_run_that_was_accepted_meanwhile(
    begin: Begin, tiny: Tiny, tmp_path: Path
) -> None:
    between = Between(tmp_path / "store")
    store, claims, request = Store(between), Claims(between), tiny()
    assert claims.open(request.name, "dead") is not None
    store.accept(request)
    store.put_report(request.name, Report(outcome=Outcome.CANCELLED))
    lease = Lease(between, ttl=60.0)
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    def another() -> None:
        claims.end(request.name)
        claims.open(request.name, lease.name)
        loop.call_soon_threadsafe(seen.set)

    between.then, between.path = another, f"{request.name}/report.json"  # type: ignore[method-assign]
    await begin(over=store)
    await asyncio.wait_for(seen.wait(), 10)
    await asyncio.sleep(LEASE_S)
    found = claims.read(request.name)
    assert found is not None
    assert found.claim.owner == lease.name
    lease.release()


async def test_a_run_of_a_tier_that_is_off_is_cancelled(begin: Begin, store: Store, tiny: Tiny) -> None:
    request = tiny(tier="off")
    Claims(store.objects).open(request.name, "")
    store.accept(request)
    runner = await begin()
    await asyncio.sleep(LEASE_S)  # nobody takes it before somebody wants it stopped
    assert store.record(request.name) is not None
    await asyncio.wait_for(runner.cancel(request.name), 10)
    report = await reported(store, request.name)
    assert (report.outcome, report.execution, report.prompt_tokens) == (Outcome.CANCELLED, request.take.execution, 0)
    assert Claims(store.objects).read(request.name) is None
    assert Claims(store.objects).cancels() == []


async def test_a_run_that_waits_behind_a_full_queue_is_cancelled(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    gated = Gated(engine.parts)
    runner = await begin(queue=1, with_engine=gated)
    first, _ = await runner.submit(tiny(steps=LONG))
    await asyncio.to_thread(gated.there.wait)
    second, _ = await runner.submit(tiny(seed=2))
    assert runner.full
    request = tiny(seed=3)
    Claims(store.objects).open(request.name, "")
    store.accept(request)
    await asyncio.wait_for(runner.cancel(request.name), 10)
    assert (await reported(store, request.name)).outcome is Outcome.CANCELLED
    gated.go.set()
    await runner.cancel(first.name)
    assert (await ended(second)).outcome is Outcome.DONE


class Speechless(Engine):
    """A device that cannot be asked for its memory a few times, so that no report can be made: neither of a video nor of the
    failure that this is, by two attempts."""

    silent = 4

    def peak_bytes(self) -> int:
        if self.silent:
            self.silent -= 1
            raise RuntimeError("the device does not answer")
        return super().peak_bytes()


async def test_a_run_whose_report_cannot_be_made_is_taken_up_again_by_the_same_generator(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    speechless = Speechless(engine.parts)
    runner, request = await begin(with_engine=speechless), tiny()
    run, _ = await runner.submit(request)
    assert await run.wait() is None
    assert Claims(store.objects).read(request.name) is not None
    report = await reported(store, request.name)
    assert (report.outcome, report.denoise_steps) == (Outcome.DONE, request.take.steps)
    assert (report.attempts, speechless.silent) == (3, 0)


async def test_three_owners_that_die_without_progress_poison_the_run(begin: Begin, store: Store, tiny: Tiny) -> None:
    request, claims = tiny(), Claims(store.objects)
    held = claims.open(request.name, "dead 0")
    assert held is not None
    store.accept(request)
    for i in (1, 2, 3):
        held = claims.begin(request.name, held)
        if i < 3:
            held = claims.change(request.name, held, held.claim.taken(f"dead {i}", 0))
    runner = await begin()
    for _ in range(500):
        record = store.record(request.name)
        if record is not None and record.report is not None:
            break
        await asyncio.sleep(0.01)
    assert record is not None
    assert record.report is not None
    assert record.report.failure is not None
    assert (record.report.failure.reason, record.report.failure.cause) == ("GENERATION_FAILED", "poisoned")
    assert (record.report.attempts, record.report.denoise_steps) == (3, 0)
    for _ in range(500):  # the claim goes after the report, and until then who asks joins that run
        if not runner.active(request.name):
            break
        await asyncio.sleep(0.01)
    assert not list(store.objects.paths("runs/"))
    assert (await ended((await runner.submit(request))[0])).outcome is Outcome.DONE


def test_who_waited_in_the_queue_of_the_dead_has_lost_no_attempt_and_progress_forgives() -> None:
    claim = Claim(run="r", owner="a")
    assert claim.taken("b", 0).taken("c", 0).taken("d", 0).barren == 0
    begun = dataclasses.replace(claim, begun=True, barren=2)
    assert begun.taken("b", 1).barren == 0
    assert begun.taken("b", 0).poisoned


async def test_what_an_older_version_left_unfinished_is_finished(begin: Begin, store: Store, tiny: Tiny) -> None:
    store.accept(tiny())
    runner = await begin()
    assert (await ended(await appears(runner, tiny().name))).outcome is Outcome.DONE


async def test_a_recovered_queue_that_is_longer_than_the_queue_is_finished_too(
    begin: Begin, store: Store, tiny: Tiny
) -> None:
    for seed in range(7):
        store.accept(tiny(seed=seed))
    await begin(queue=2)
    for _ in range(2000):
        if not list(store.objects.paths("runs/")) and store.record(tiny(seed=6).name).report:  # type: ignore[union-attr]
            break
        await asyncio.sleep(0.01)
    assert all(store.video(tiny(seed=seed).name) is not None for seed in range(7))


async def test_a_lost_lease_stops_the_run_between_two_steps_without_a_report(
    begin: Begin, store: Store, tiny: Tiny
) -> None:
    first, request = await begin(), tiny(steps=LONG)
    run, _ = await first.submit(request)
    waiting, _ = await first.submit(tiny(seed=2))
    await at(run, Stage.DENOISE, 2)
    store.objects.delete(f"generators/{first.heart.owner}")
    assert await run.wait() is None
    assert await waiting.wait() is None
    # It has a new lease, and takes its own old runs up like anybody's.
    again = await appears(first, request.name)
    report = await ended(again)
    assert (report.outcome, report.attempts, report.denoise_steps) == (Outcome.DONE, 2, LONG)


@pytest.mark.parametrize("writes_only", [True, False], ids=["full", "gone"])
async def test_a_store_that_is_away_longer_than_the_lease_loses_nothing_and_needs_no_restart(
    begin: Begin, store: Store, bucket: Bucket, tiny: Tiny, writes_only: bool
) -> None:
    runner, request = await begin(), tiny(steps=LONG)
    run, _ = await runner.submit(request)
    await at(run, Stage.DENOISE, 3)
    bucket.writes_only = writes_only
    bucket.error = OSError(28, "No space left on device")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await runner.submit(tiny(seed=2))
        await asyncio.sleep(LEASE_S)
    step = run.progress.step
    await asyncio.sleep(0.3)
    assert run.progress.step == step, "it rests while others might make the same steps"
    bucket.error = None
    report = await ended(run)
    assert (report.outcome, report.denoise_steps, report.attempts) == (Outcome.DONE, LONG, 1)
    assert (await ended((await runner.submit(tiny(seed=2)))[0])).outcome is Outcome.DONE


class AtTheEnd(Engine):
    """Calls ``then`` before the last step."""

    then: Callable[[], None]

    def step(self, state: Denoising) -> None:
        if state.index == state.take.steps - 1:
            self.then()
        super().step(state)


async def test_a_video_that_is_made_while_the_store_is_full_is_stored_once_there_is_room(
    begin: Begin, store: Store, bucket: Bucket, engine: Engine, tiny: Tiny
) -> None:
    late = AtTheEnd(engine.parts)
    late.then = lambda: setattr(bucket, "error", OSError(28, "No space left on device"))
    bucket.writes_only = True
    runner = await begin(with_engine=late)
    run, _ = await runner.submit(tiny())
    await at(run, Stage.DECODE, 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(run.wait()), 0.7)
    late.then = lambda: None
    bucket.error = None
    assert (await ended(run)).outcome is Outcome.DONE
    assert store.latents(tiny().take_name) is not None
    assert store.video(tiny().name) is not None


async def test_stopping_ends_though_the_store_is_full_and_many_videos_wait_for_it(
    begin: Begin, store: Store, bucket: Bucket, engine: Engine, tiny: Tiny
) -> None:
    late = AtTheEnd(engine.parts)
    late.then = lambda: setattr(bucket, "error", OSError(28, "No space left on device"))
    bucket.writes_only = True
    runner = await begin(with_engine=late)
    runs = [(await runner.submit(tiny(seed=seed)))[0] for seed in range(5)]
    await at(runs[0], Stage.DECODE, 2)
    async with asyncio.timeout(10):
        await runner.stop()
    assert [await run.wait() for run in runs] == [None] * 5
    bucket.error = None
    again = await begin()
    assert {(await ended((await again.submit(tiny(seed=seed)))[0])).outcome for seed in range(5)} == {Outcome.DONE}


async def test_a_hundred_equal_requests_at_once_are_one_run(begin: Begin, tiny: Tiny) -> None:
    runner = await begin()
    found = await asyncio.gather(*(runner.submit(tiny(steps=8)) for _ in range(100)))
    assert len({id(run) for run, _ in found}) == 1
    assert sum(not attached for _, attached in found) == 1
    reports = await asyncio.gather(*(ended(run) for run, _ in found))
    assert {report.denoise_steps for report in reports} == {8}


async def test_where_a_run_of_another_generator_is(begin: Begin, tiny: Tiny) -> None:
    first, second, request = await begin(), await begin(), tiny(steps=LONG)
    run, _ = await first.submit(request)
    assert await second.where(tiny(seed=9).name) == Progress(stage=Stage.QUEUED)
    await at(run, Stage.DENOISE, 1)
    for _ in range(200):
        where = await second.where(request.name)
        if where.stage is Stage.DENOISE:
            break
        await asyncio.sleep(0.02)
    assert where.steps == LONG
    await first.cancel(request.name)


async def test_a_request_of_another_generation_of_weights_is_made_anew_and_fills_no_take(
    begin: Begin, store: Store, engine: Engine, tiny: Tiny
) -> None:
    store.accept(tiny())
    newer = Engine(dataclasses.replace(engine.parts, execution="2" * 64))
    report = await ended(await appears(await begin(with_engine=newer), tiny().name))
    assert (report.outcome, report.execution, report.denoise_steps) == (Outcome.DONE, "2" * 64, 4)
    assert store.latents(tiny().take_name) is None
    assert store.video(tiny().name) is not None
