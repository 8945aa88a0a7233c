"""A service under use: cancels, clients that hang up or run out of time, and what is left of them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import grpc
import numpy as np

from benchmarks.engine_kills import tiny
from benchmarks.report import Goal
from generator_service.app import running
from generator_service.core import Outcome, Stage
from generator_service.engine import Decoding, Denoising, Engine, Pictures
from generator_service.runner import Runner
from generator_service.settings import Settings
from generator_service.store import Store
from generator_service.worker import Pace
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub

AT_ONCE = 24
SNAPSHOTS_WRITTEN = 'reelgate_generator_snapshots_total{result="written"}'
LONG = 100


class CountingEngine(Engine):
    """How many steps have been begun, of either kind, and how long each took."""

    begun = 0

    def step(self, state: Denoising) -> None:
        self.begun += 1
        super().step(state)

    def decode(self, state: Decoding) -> Pictures:
        self.begun += 1
        return super().decode(state)


# Of the runs that are cancelled in decode: 21 latent frames, so that there is much left to stop.
DECODING_FRAMES = 81


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cancelled:
    """``stage`` is where the run was, with steps left there; ``begun`` are the steps begun after the cancel, ``took`` the seconds
    until the run had ended."""

    stage: Stage
    begun: int
    took: float


async def cancels(engine: Engine, count: int, folder: Path) -> list[Cancelled]:
    """Every third in decode. Raises ``RuntimeError`` for a run that ended in another way."""
    counting, chance = CountingEngine(engine.parts), random.Random(2)
    runner = Runner(Store(folder), lambda: {"embedded": counting}, queue=4, pace=Pace(steps=4))
    await runner.start()
    made: list[Cancelled] = []
    for i in range(count):
        stage = Stage.DECODE if i % 3 == 2 else Stage.DENOISE
        steps, frames = (2, DECODING_FRAMES) if stage is Stage.DECODE else (LONG, 5)
        run, _ = await runner.submit(tiny(i, steps=steps, frames=frames))
        async for progress in run.follow():
            if progress.stage is stage:
                break
        # Of a video of this size a decode step is longer than a denoise step of the tiny one, and there are fewer of them.
        await asyncio.sleep(chance.uniform(0, 0.02 if stage is Stage.DECODE else 0.1))
        where, before, at = run.progress, counting.begun, time.perf_counter()
        await runner.cancel(run.name)
        made.append(Cancelled(stage=stage, begun=counting.begun - before, took=time.perf_counter() - at))
        if where.stage is not stage or where.steps - where.step < 2:
            raise RuntimeError(f"run {i} was to be cancelled in {stage}, and was at {where}")
        if run.report is None or run.report.outcome is not Outcome.CANCELLED:
            raise RuntimeError(f"run {i}, cancelled at {where}, was not: {run.report}")
    await runner.stop()
    return made


def cancel_rows(engine: Engine, count: int) -> list[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        made = asyncio.run(cancels(engine, count, Path(folder) / "store"))
    took = [each.took for each in made]
    print(
        f"{count} cancels: to the stored report {1000 * np.median(took):.0f} ms at the median, {1000 * max(took):.0f} at most"
    )
    goals = []
    for stage in (Stage.DENOISE, Stage.DECODE):
        begun = [each.begun for each in made if each.stage is stage]
        name = f"steps begun after a cancel in {stage} ({len(begun)}), at most"
        goals.append(Goal(name=name, value=max(begun), compare="<=", target=1))
    return goals


def memory() -> float:
    """Resident, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def at_work() -> int:
    """Tasks and threads, but for the pools of the event loop and of the door, which grow to their size and stay."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "door_"))]
    return len(asyncio.all_tasks()) + len(threads)


class Users:
    """Each asks for something, and stays, hangs up, cancels or has too little time."""

    def __init__(self, stub: GeneratorServiceStub) -> None:
        self._stub = stub
        self._chance = random.Random(3)
        self._room = asyncio.Semaphore(AT_ONCE)
        self.names: set[str] = set()
        self.did: Counter[str] = Counter()

    async def use(self, i: int) -> None:
        async with self._room:
            manner = self._chance.choices(("stay", "leave", "cancel", "deadline"), (5, 2, 2, 2))[0]
            # One in five asks for what somebody else has asked for.
            seed = i if self._chance.random() > 0.2 else self._chance.randint(0, i)
            settings = pb.VideoSettings(width=32, height=32, frames=5, steps=1 + seed % 4, seed=seed)
            message = pb.GenerateVideoRequest(prompt="a red circle moves left over grass", settings=settings)
            message.post_processing.watermark = self._chance.choice(("", "", "", "A"))
            late = self._chance.uniform(0.01, 1.0) if manner == "deadline" else 120.0
            try:
                await self._ask(message, manner, late)
                self.did[manner] += 1
            except grpc.aio.AioRpcError as error:
                self.did[f"{manner}: {error.code().name}"] += 1
            except asyncio.CancelledError:
                self.did[manner] += 1

    async def _ask(self, message: pb.GenerateVideoRequest, manner: str, late: float) -> None:
        call = self._stub.GenerateVideo(message, timeout=late)
        first = await call.read()
        if first is grpc.aio.EOF:
            # It raises why.
            await call
            return
        name = first.accepted.name
        self.names.add(name)
        await asyncio.sleep(self._chance.uniform(0, 0.3) if manner in ("leave", "cancel") else 0)
        if manner == "leave":
            call.cancel()
            return
        if manner == "cancel":
            await self._stub.CancelVideo(pb.CancelVideoRequest(name=name))
        while await call.read() is not grpc.aio.EOF:
            pass


def written(port: int) -> int:
    """Snapshots that a service has written, as it says itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next(line.split()[-1] for line in lines if line.startswith(SNAPSHOTS_WRITTEN))))


async def mixed(engine: Engine, count: int, folder: Path) -> list[Goal]:
    # A snapshot after every step: the runs here are too short for the usual pace, and who writes none leaves none.
    settings = Settings(
        address="127.0.0.1:0", store=str(folder), queue=64, snapshot_steps=1, metrics_address="127.0.0.1:0"
    )
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            users = Users(GeneratorServiceStub(channel))
            # What a service keeps it keeps once: the first fifth fills allocators and caches.
            warm = count // 5
            await asyncio.gather(*(users.use(i) for i in range(warm)))
            before, size = at_work(), memory()
            begun = time.perf_counter()
            await asyncio.gather(*(users.use(i) for i in range(warm, count)))
            took = time.perf_counter() - begun
            store = Store(folder)
            await settled(store)
            grown = memory() - size
            left = await at_rest(before)
            snapshots = await asyncio.to_thread(written, app.metrics_port)
    print(f"{count} mixed requests, {count / took:.0f} a second: {dict(sorted(users.did.items()))}")
    print(f"memory {size:.0f} MB after {warm}, {grown:+.1f} MB after {count}; {left:+d} tasks and threads")
    outcomes: Counter[str] = Counter()
    for name in users.names:
        record = store.record(name)
        outcomes[record.report.outcome.value if record and record.report else "lost"] += 1
    print(f"{len(users.names)} accepted names: {dict(outcomes)}")
    debris = [path for path in store.objects.paths("takes/") if path.endswith("snapshot.safetensors")]
    debris += [*store.objects.paths("runs/"), *store.objects.paths("cancels/"), *store.objects.paths("generators/")]
    return [
        Goal(name=f"{count} mixed requests: accepted and lost", value=outcomes["lost"], compare="==", target=0),
        Goal(name="failed", value=outcomes["failed"], compare="==", target=0),
        Goal(name="snapshots written", value=snapshots, compare=">=", target=1),
        Goal(name="snapshots, claims, wishes and leases left", value=len(debris), compare="==", target=0),
        Goal(name="tasks and threads left", value=left, compare="<=", target=0),
        Goal(name="memory grown", value=grown, compare="<=", target=max(8.0, 0.02 * count), unit=" MB"),
    ]


async def at_rest(before: int) -> int:
    """Tasks and threads over ``before``, once there are none or they have had two seconds to end."""
    for _ in range(20):
        if at_work() <= before:
            break
        await asyncio.sleep(0.1)
    return at_work() - before


async def settled(store: Store) -> None:
    """Until every run has ended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(120):
            while await asyncio.to_thread(lambda: list(store.objects.paths("runs/"))):  # noqa: ASYNC110 - a store has no events
                await asyncio.sleep(0.1)


def mixed_rows(engine: Engine, count: int) -> list[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(mixed(engine, count, Path(folder) / "store"))
