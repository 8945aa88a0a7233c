"""Generators as processes that can be killed: forked from a server that has imported torch, so that each starts in a moment.

Every step that a generator makes is told through a pipe before the next one, so whoever kills it knows what it had done.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import tqdm
from transformers.utils.logging import disable_progress_bar

from generator_service import tier as tiers
from generator_service import wan
from generator_service.core import Report, Request
from generator_service.engine import Decoding, Denoising, Engine, Pictures
from generator_service.runner import Runner
from generator_service.store import Store
from generator_service.worker import Pace

MODEL = "REELGATE_CRASH_MODEL"
PATIENCE_S = 60.0
# Folder or URL of a store, and its options.
Where = tuple[str, dict[str, str] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """``what`` is ready, accepted, denoise, decode, store or ended. ``seed`` names the request, ``step`` is done."""

    what: str
    seed: int = -1
    step: int = 0
    report: Report | None = None


class TellingEngine(Engine):
    """Tells every step once it is made."""

    pipe: Connection

    def step(self, state: Denoising) -> None:
        super().step(state)
        self.pipe.send(Told(what="denoise", seed=state.take.seed, step=state.index))

    def decode(self, state: Decoding) -> Pictures:
        made = super().decode(state)
        self.pipe.send(Told(what="decode", step=state.index))
        return made


class TellingStore(Store):
    """Tells when it begins to store a video."""

    pipe: Connection

    def put_video(self, name: str, data: bytes, report: Report, before: str | None = "") -> Report | None:
        self.pipe.send(Told(what="store"))
        return super().put_video(name, data, report, before)


def load() -> TellingEngine:
    """Of the folder that the environment names; its execution is what tests' takes say."""
    # No bars, and no lock between processes for them, which a killed process would leave behind.
    disable_progress_bar()
    tqdm.tqdm.set_lock(threading.RLock())
    tier = tiers.load(tiers.FOLDER / "embedded.yaml", os.environ[MODEL])
    return TellingEngine(dataclasses.replace(wan.load(tier, torch.device("cpu")), execution="0" * 64))


def serve(where: Where, requests: list[Request], pipe: Connection, lease_s: float, pace: Pace) -> None:
    """A generator's process: takes up what it finds, asks for ``requests``, and goes on until it is killed."""
    torch.set_num_threads(1)
    engine = load()
    engine.pipe = TellingStore.pipe = pipe
    asyncio.run(_serve(where, requests, engine, pipe, lease_s, pace))


async def _serve(
    where: Where, requests: list[Request], engine: Engine, pipe: Connection, lease_s: float, pace: Pace
) -> None:
    runner = Runner(TellingStore(*where), lambda: {"embedded": engine}, queue=64, lease_seconds=lease_s, pace=pace)
    await runner.start()
    pipe.send(Told(what="ready"))
    watched: set[str] = set()
    tasks = []

    async def watch(run: Any) -> None:
        pipe.send(Told(what="ended", seed=run.request.take.seed, report=await run.wait()))

    for request in requests:
        await runner.submit(request)
        pipe.send(Told(what="accepted", seed=request.take.seed))
    while True:
        for name, run in list(runner.runs.items()):
            if name not in watched:
                watched.add(name)
                tasks.append(asyncio.create_task(watch(run)))
        await asyncio.sleep(0.002)


class Generator:
    """One process. ``told`` is all that it has said."""

    def __init__(
        self,
        where: str,
        requests: list[Request],
        *,
        options: dict[str, str] | None = None,
        lease_s: float = 15.0,
        pace: Pace | None = None,
    ) -> None:
        self.told: list[Told] = []
        self._ours, theirs = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(
            target=serve, args=((where, options), requests, theirs, lease_s, pace or Pace(steps=1))
        )
        self._process.start()
        theirs.close()

    def hear(self, timeout: float = PATIENCE_S) -> Told | None:
        """The next that it says; None when it has died or is silent."""
        with contextlib.suppress(EOFError):
            if self._ours.poll(timeout):
                self.told.append(self._ours.recv())
                return self.told[-1]
        return None

    def until(self, what: str, step: int = 0, seed: int | None = None) -> Told:
        while (told := self.hear()) is not None:
            if told.what == what and told.step == step and seed in (None, told.seed):
                return told
        raise RuntimeError(f"the generator never came to {what} {step}; it said {self.told[-5:]}")

    def kill(self) -> None:
        """SIGKILL, and all that it had said by then. A second time it is nothing."""
        if self._ours.closed:
            return
        self._process.kill()
        self._process.join()
        while self.hear(0) is not None:
            pass
        self._ours.close()

    def pause(self) -> None:
        """As a machine does that hangs."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGCONT)

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Denoise steps that it made: (seed, number of the step)."""
        return [(told.seed, told.step) for told in self.told if told.what == "denoise"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kill:
    """When to kill: once ``what`` was told with ``step``, and then a moment of up to ``delay`` seconds later."""

    name: str
    what: str
    step: int = 0
    delay: float = 0.004

    def strike(self, generator: Generator, chance: random.Random) -> None:
        generator.until(self.what, self.step)
        time.sleep(chance.uniform(0.0, self.delay))
        generator.kill()


# Of the tiny shape: the first two of four steps belong to the high-noise expert, and it has two latent frames.
KILLS = (
    Kill(name="queued", what="accepted", delay=0.002),
    Kill(name="denoise, high noise", what="denoise", step=1, delay=0.02),
    Kill(name="denoise, low noise", what="denoise", step=3, delay=0.02),
    Kill(name="decode", what="decode", step=1),
    Kill(name="encode", what="decode", step=2),
    Kill(name="store", what="store", delay=0.002),
)


def prepare(model: Path | str) -> None:
    """Before the first `Generator`: which model they load."""
    os.environ[MODEL] = str(model)


# Nothing that this module imports may have used obstore before the fork: its threads do not survive one.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.engine_crash"])
