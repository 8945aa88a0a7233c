"""Eight small requests that share their forward passes, against the same eight one by one in exact mode.

First the experts' part alone, text to final latents; then the whole service, from eight requests at once to eight stored
videos. In turns in one process, the order changing, every round with prompts of its own; the two services have a store each.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.captions_heldout import captions
from benchmarks.engine_overhead import interval
from benchmarks.report import Goal
from generator_service.core import Finish, Request, Take
from generator_service.engine import Engine
from generator_service.runner import Runner
from generator_service.store import Store

EIGHT = 8
# Side in pixels, frames, steps.
TINY, DEMO = (32, 5, 4), (64, 9, 16)
Shape = tuple[int, int, int]
# How a side comes by the text of its fresh prompts: settings, and whether it has had the same prompts before.
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "text kept": ({}, False),
    "text known": ({}, True),
    "text made anew": ({"text_kv": False}, False),
    "text kept, folded": ({"fold_text": True}, False),
}
# Seconds of the clock and of the process's CPU.
Times = list[tuple[float, float]]


def with_settings(engine: Engine, **changes: Any) -> Engine:
    """Over the same weights. All name the execution that the requests here name, and none reads another's store."""
    return Engine(dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update=changes)))


def requests(engine: Engine, number: int, shape: Shape) -> list[Request]:
    """Those of one round: prompts, seeds and guidance differ."""
    side, frames, steps = shape
    found = captions(EIGHT, seed=900 + number)
    takes = [
        Take(
            tenant="benchmark",
            prompt=caption.text,
            negative_prompt=engine.tier.negative_prompt,
            width=side,
            height=side,
            frames=frames,
            steps=steps,
            guidance=4.0 + i / 4,
            guidance_2=3.0,
            seed=EIGHT * number + i,
            tier="embedded",
            execution=engine.execution,
        )
        for i, caption in enumerate(found)
    ]
    return [Request(take=take, finish=Finish(fps=8)) for take in takes]


def one_by_one(engine: Engine, takes: list[Take]) -> list[Tensor]:
    found = []
    for take in takes:
        state = engine.prepare(take)
        while not state.done:
            engine.step(state)
        found.append(state.latents)
    return found


def together(engine: Engine, takes: list[Take]) -> list[Tensor]:
    states = [engine.prepare(take) for take in takes]
    while not all(state.done for state in states):
        for error in engine.step_many(states):
            if error is not None:
                raise error
    return [state.latents for state in states]


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[tuple[float, float], Any]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    made = call(*arguments)
    return (time.perf_counter() - wall, time.process_time() - cpu), made


def show(name: str, alone: Times, shared: Times) -> None:
    """Videos a second of each side, and their ratio with its 95 % interval."""
    ratios = np.array(alone) / np.array(shared)
    for i, clock in enumerate(("clock", "CPU of the process")):
        low, high = interval(ratios[:, i])
        one, many = (EIGHT / float(np.median([times[i] for times in side])) for side in (alone, shared))
        print(
            f"{name}, by the {clock}: one by one {one:.1f} videos/s, together {many:.1f}; "
            f"{np.median(ratios[:, i]):.2f} times as many [{low:.2f}, {high:.2f}], {len(alone)} rounds"
        )


def denoising(engine: Engine, rounds: int, shape: Shape, where: str) -> list[Goal]:
    """Text to final latents, with each way of coming by the text."""
    goals = []
    for name, (settings, known) in WAYS.items():
        exact, batch = with_settings(engine, **settings), with_settings(engine, batch=True, **settings)
        alone: Times = []
        shared: Times = []
        worst = 0.0
        for number in range(-1, rounds):
            takes = [request.take for request in requests(engine, number + 1, shape)]
            sides = [(one_by_one, exact, alone), (together, batch, shared)]
            latents = {}
            for call, of, times in sides if number % 2 else sides[::-1]:
                if known:
                    call(of, takes)
                took, latents[call] = timed(call, of, takes)
                if number >= 0:
                    times.append(took)
            pairs = zip(latents[one_by_one], latents[together], strict=True)
            worst = max(worst, *(float((one - other).abs().max()) for one, other in pairs))
        show(f"{where}, text to latents, {name}", alone, shared)
        goals += [
            Goal(name=f"{where}, {name}: largest difference (x 1e-4)", value=worst / 1e-4, compare="<=", target=1),
            Goal(name=f"{where}, {name}: rows in an exact pass", value=max(exact.passes), compare="==", target=1),
        ]
    return goals


async def served(runner: Runner, wanted: list[Request]) -> None:
    """All eight at once, until all are stored."""
    runs = [(await runner.submit(request))[0] for request in wanted]
    for run in runs:
        report = await run.wait()
        if report is None or report.video is None:
            raise RuntimeError(f"no video: {report}")


async def service(engine: Engine, rounds: int, folder: Path) -> list[Goal]:
    exact, batch = with_settings(engine), with_settings(engine, batch=True)
    runners = [
        Runner(Store(folder / name), lambda made=made: {"embedded": made}, queue=2 * EIGHT)
        for name, made in (("exact", exact), ("batch", batch))
    ]
    for runner in runners:
        await runner.start()
    times: list[Times] = [[], []]
    for number in range(-1, rounds):
        wanted = requests(engine, number + 1, TINY)
        for side in (0, 1) if number % 2 else (1, 0):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            await served(runners[side], wanted)
            if number >= 0:
                times[side].append((time.perf_counter() - wall, time.process_time() - cpu))
    for runner in runners:
        await runner.stop()
    show("tiny, request to stored video", *times)
    rows = sum(size * count for size, count in batch.passes.items()) / batch.passes.total()
    print(f"rows in a pass of the batching service: {rows:.1f} at the mean, {max(batch.passes)} at most")
    return [
        Goal(name="served: rows in an exact pass", value=max(exact.passes), compare="==", target=1),
        Goal(name="served: rows in a shared pass, at most", value=max(batch.passes), compare=">=", target=4),
    ]


def rows(engine: Engine, rounds: int) -> list[Goal]:
    """No figure was asked for: the throughput is printed, and what is held to goals is that the sides are what they are called."""
    goals = denoising(engine, rounds, TINY, "tiny") + denoising(engine, max(2, rounds // 4), DEMO, "demo")
    with tempfile.TemporaryDirectory() as folder:
        return goals + asyncio.run(service(engine, rounds, Path(folder)))
