"""What the engine costs beside diffusers' own pipeline: the same components, shape and prompt, in turns in one process.

The engine's side is all that a user of it pays: the request is stored and synced, queued, claimed, stepped by the thread with
snapshots on, until the last picture is decoded. The pipeline's side is its call, until its pictures are there. Encoding
a container is on neither side. The two take turns in who goes first.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from diffusers import WanPipeline

from benchmarks.pipeline import call, pipeline_of
from benchmarks.report import Goal
from generator_service.core import Finish, Request, Stage, Take
from generator_service.engine import Engine
from generator_service.runner import Runner
from generator_service.store import Store

# Seconds of the clock and of the process's CPU, for each video.
Times = list[tuple[float, float]]


def request(engine: Engine, seed: int, side: int, frames: int) -> Request:
    """The tier's defaults, but for the shape."""
    tier = engine.tier
    take = Take(
        tenant="benchmark",
        prompt="a red circle moves left over grass",
        negative_prompt="blurred",
        width=side,
        height=side,
        frames=frames,
        steps=tier.steps.default,
        guidance=tier.guidance,
        guidance_2=tier.guidance_2,
        seed=seed,
        tier=tier.tier,
        execution=engine.execution,
    )
    return Request(take=take, finish=Finish(fps=tier.fps))


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(begun: tuple[float, float], ended: tuple[float, float] | None = None) -> tuple[float, float]:
    ended = ended or now()
    return ended[0] - begun[0], ended[1] - begun[1]


def by_pipeline(pipeline: WanPipeline, take: Take) -> tuple[float, float]:
    begun = now()
    call(pipeline, take, "np")
    return since(begun)


async def by_engine(runner: Runner, wanted: Request) -> tuple[float, float]:
    begun = ended = now()
    run, _ = await runner.submit(wanted)
    async for progress in run.follow():
        if progress.stage is Stage.DECODE and progress.step == progress.steps:
            ended = now()
    await run.wait()
    return since(begun, ended)


async def measure(engine: Engine, pairs: int, folder: Path, shape: tuple[int, int]) -> tuple[Times, Times, int]:
    """Times by engine and by pipeline, and how many snapshots were written meanwhile."""
    pipeline = pipeline_of(engine.parts)
    # The service's own pace.
    runner = Runner(Store(folder), lambda: {"embedded": engine}, queue=4)
    await runner.start()
    ours: Times = []
    theirs: Times = []
    for i in range(-2, pairs):
        wanted = request(engine, i + 2, *shape)
        if i % 2:
            one = await by_engine(runner, wanted)
            other = await asyncio.to_thread(by_pipeline, pipeline, wanted.take)
        else:
            other = await asyncio.to_thread(by_pipeline, pipeline, wanted.take)
            one = await by_engine(runner, wanted)
        if i >= 0:
            ours.append(one)
            theirs.append(other)
    await runner.stop()
    return ours, theirs, runner.snapshots.written


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % of 10,000 medians of samples drawn with replacement."""
    rng = np.random.default_rng(1)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    return float(np.percentile(medians, 2.5)), float(np.percentile(medians, 97.5))


def rows(engine: Engine, pairs: int) -> list[Goal]:
    """At the tier's default shape, where what a request costs once weighs most, and at one of eight times as many latents; nothing of
    the text kept, as the pipeline keeps nothing. Then as the service runs, with the text kept. First, for the eye only, what all
    around the steps costs where these do the pipeline's very work: the other rows' engine makes once what both passes share.
    """
    bare = engine.tier.model_copy(update={"text_kv": False, "text_states_mib": 0})
    plain = Engine(dataclasses.replace(engine.parts, tier=bare))
    same = Engine(dataclasses.replace(engine.parts, tier=bare.model_copy(update={"share_passes": False})))
    shape_rows(same, pairs, (64, 9), "nothing kept or shared", 0)
    return (
        shape_rows(plain, pairs, (64, 9), "nothing kept", 3)
        + shape_rows(plain, max(2, pairs // 4), (128, 17), "nothing kept", 3)
        + shape_rows(engine, pairs, (64, 9), "text kept", 0)
    )


def shape_rows(engine: Engine, pairs: int, shape: tuple[int, int], kept: str, most: float) -> list[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, snapshots = asyncio.run(measure(engine, pairs, Path(folder) / "store", shape))
    over = 100 * (np.array(ours) / np.array(theirs) - 1)
    for i, what in enumerate(("clock", "CPU of the process")):
        low, high = interval(over[:, i])
        one, other = (float(np.median([times[i] for times in side])) for side in (ours, theirs))
        print(
            f"{shape[0]}x{shape[0]}, {shape[1]} frames, {kept}: overhead by the {what}: engine {one:.3f} s, "
            f"WanPipeline {other:.3f} s at the median of {pairs} pairs; "
            f"{np.median(over[:, i]):+.2f} % [{low:+.2f}, {high:+.2f}]"
        )
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    name = f"overhead against WanPipeline, {shape[0]}x{shape[0]}x{shape[1]}, {kept}, median"
    median = float(np.median(over[:, 0]))
    return [
        Goal(name=name, value=median, compare="<=", target=most, unit=" %"),
        Goal(name="snapshots written meanwhile", value=snapshots, compare=">=", target=pairs),
    ]
