"""A store in trouble under a service at work: a disk that is really full, and a folder that is gone, each for longer than a lease.

Meanwhile everybody is refused with STORE_UNAVAILABLE; afterwards, without a restart, everything accepted ends as if nothing had been.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from benchmarks.engine_kills import undisturbed
from benchmarks.engine_load import settled
from benchmarks.report import Goal
from generator_service.app import running
from generator_service.engine import Engine
from generator_service.settings import Settings
from generator_service.store import Store
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.status import from_rpc_error

# The short ones come to their latents while the lease still holds, and those have to wait for the store.
STEPS = (60, 60, 24, 24)
DISK = "8m"
RENAME_EXCHANGE, AT_FDCWD = 2, -100
AGAIN_S = 0.5


class FullDisk:
    """A file system of its own. What room comes free while it is full is taken before each look."""

    name = "store full"

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def press(self) -> None:
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def end(self) -> None:
        self._ballast.unlink()


class GoneFolder:
    """A file stands where the folder was. They change places in one call, so that nothing is written into a folder made anew."""

    name = "store gone"

    def __init__(self, folder: Path) -> None:
        self.folder, self._other = folder, folder.with_name("other")
        self._gone = False

    def press(self) -> None:
        if not self._gone:
            self._other.write_text("no folder")
            self._exchange()

    def end(self) -> None:
        self._exchange()

    def _exchange(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        one, other = os.fsencode(self.folder), os.fsencode(self._other)
        if libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), "the folder and a file cannot change places")
        self._gone = not self._gone


Trouble = FullDisk | GoneFolder


async def ask(stub: GeneratorServiceStub, seed: int, steps: int, accepted: Callable[[str], None]) -> pb.Video:
    settings = pb.VideoSettings(width=32, height=32, frames=5, steps=steps, seed=seed)
    last = pb.GenerateVideoResponse()
    async for last in stub.GenerateVideo(pb.GenerateVideoRequest(prompt="a red circle moves left", settings=settings)):
        if last.WhichOneof("event") == "accepted":
            accepted(last.accepted.name)
    return last.video


async def refusals(stub: GeneratorServiceStub, trouble: Trouble, seconds: float) -> Counter[str]:
    """What became of those who asked while the trouble lasted."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.to_thread(trouble.press)
        try:
            await ask(stub, 1000 + found.total(), 1, lambda name: found.update(["accepted"]))
        except grpc.aio.AioRpcError as error:
            found[from_rpc_error(error).reason or error.code().name] += 1
        await asyncio.sleep(AGAIN_S)
    return found


async def through(engine: Engine, trouble: Trouble, seconds: float, lease_s: float) -> list[Goal]:
    settings = Settings(address="127.0.0.1:0", store=str(trouble.folder), lease_seconds=lease_s)
    names: list[str] = []
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            stub = GeneratorServiceStub(channel)
            videos = [asyncio.create_task(ask(stub, i, steps, names.append)) for i, steps in enumerate(STEPS)]
            while len(names) < len(STEPS):  # noqa: ASYNC110 - a few milliseconds
                await asyncio.sleep(0.01)
            found = await refusals(stub, trouble, seconds)
            early = sum(video.done() for video in videos)
            await asyncio.to_thread(trouble.end)
            ended = await asyncio.gather(*videos)
            ended.append(await ask(stub, len(STEPS), STEPS[0], names.append))
            await settled(Store(trouble.folder))
    print(f"{trouble.name} for {seconds:g} s under a lease of {lease_s:g} s: who asked meanwhile: {dict(found)}")
    store = Store(trouble.folder)
    problems = [f"seed {video.settings.seed}: {why}" for video in ended for why in wrong(store, engine, video)]
    problems += [f"{early} videos ended before the store was back"] if early else []
    problems += [f"{path} is left" for path in left(store, trouble.folder)]
    print("\n".join(problems), end="\n" if problems else "")
    refused, what = found["STORE_UNAVAILABLE"], f"{trouble.name} for {seconds:g} s"
    return [
        Goal(name=f"{what}: asked and refused with STORE_UNAVAILABLE", value=refused, compare=">=", target=3),
        Goal(name=f"{what}: anything else", value=found.total() - refused, compare="==", target=0),
        Goal(name=f"{what}: lost, begun again, of other bits, left over", value=len(problems), compare="==", target=0),
    ]


def wrong(store: Store, engine: Engine, video: pb.Video) -> list[str]:
    """With one that was accepted."""
    record, report = store.record(video.name), video.report
    if record is None or video.state != pb.VIDEO_STATE_DONE or store.video(video.name) is None:
        return [f"is not done: {report.failure_message}"]
    latents = store.latents(record.request.take_name)
    found = (
        ["has no latents, or others"] if latents is None or latents[1] != undisturbed(engine, record.request) else []
    )
    once = (report.attempts, report.steps_run, report.steps_lost) == (1, video.settings.steps, 0)
    return found + ([] if once else [f"was begun {report.attempts} times and made {report.steps_run} steps"])


def left(store: Store, folder: Path) -> Iterator[str]:
    """Once the service has stopped."""
    for kind in ("runs/", "cancels/", "generators/"):
        yield from store.objects.paths(kind)
    yield from (path for path in store.objects.paths("takes/") if path.endswith("snapshot.safetensors"))
    yield from (str(path) for path in folder.rglob("*#*"))


@contextlib.contextmanager
def disk() -> Iterator[Path | None]:
    """A small file system, mounted; None where that is not allowed."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        try:
            mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        except FileNotFoundError:
            mounted = False
        try:
            yield Path(folder) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "-l", folder], check=True)


def rows(engine: Engine, seconds: float, lease_s: float) -> list[Goal]:
    quiet = logging.root.manager.disable
    logging.disable(logging.ERROR)  # of every refusal with its traceback
    try:
        return _rows(engine, seconds, lease_s)
    finally:
        logging.disable(quiet)


def _rows(engine: Engine, seconds: float, lease_s: float) -> list[Goal]:
    with disk() as folder:
        if folder is None:
            why = "a file system cannot be mounted here: that takes root"
            goals = [Goal(name=f"{FullDisk.name} for {seconds:g} s", value=None, compare="==", target=0, why=why)]
        else:
            goals = asyncio.run(through(engine, FullDisk(folder), seconds, lease_s))
    with tempfile.TemporaryDirectory() as beside:
        goals += asyncio.run(through(engine, GoneFolder(Path(beside) / "store"), seconds, lease_s))
    return goals
