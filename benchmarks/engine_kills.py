"""SIGKILL: what a killed generator leaves, and what the next one makes of it."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.engine_crash import KILLS, Generator, Kill
from benchmarks.report import Goal
from generator_service import snapshot
from generator_service.core import Finish, Outcome, Report, Request, Take
from generator_service.engine import Engine, pack
from generator_service.store import Store
from generator_service.worker import Pace

STEPS = 4


def tiny(seed: int, *, steps: int = STEPS, frames: int = 5, watermark: str = "", tenant: str = "benchmark") -> Request:
    """5 frames of 32x32: well under half a second."""
    take = Take(
        tenant=tenant,
        prompt="a red circle moves left over grass",
        negative_prompt="blurred",
        width=32,
        height=32,
        frames=frames,
        steps=steps,
        guidance=4.0,
        guidance_2=3.0,
        seed=seed,
        tier="embedded",
        execution="0" * 64,
    )
    return Request(take=take, finish=Finish(fps=8, watermark=watermark))


def undisturbed(engine: Engine, request: Request) -> bytes:
    """The file of the latents that nothing has interrupted."""
    state = engine.prepare(request.take)
    while not state.done:
        engine.step(state)
    return pack(state.latents)


def kept(store: Store, request: Request) -> int:
    """Steps that need not be made again, by what is stored."""
    if store.latents(request.take_name) is not None:
        return request.take.steps
    data = store.snapshot(request.take_name)
    header = None if data is None else snapshot.header(data)
    return 0 if header is None else header.index


def strike(kill: Kill, folder: Path, engine: Engine, requests: list[Request], chance: random.Random) -> list[str]:
    """Kills a generator on an empty store, starts another one and waits for its end. What went wrong, in words."""
    by_seed = {request.take.seed: request for request in requests}
    first = Generator(str(folder), requests, pace=Pace(steps=chance.choice((1, 2))))
    kill.strike(first, chance)
    store = Store(folder)
    known = {seed for seed, request in by_seed.items() if store.record(request.name) is not None}
    unfinished = {seed for seed in known if store.video(by_seed[seed].name) is None}
    accepted = {told.seed for told in first.told if told.what == "accepted"}
    problems = [f"{kill.name}: seed {seed} was accepted and is unknown" for seed in accepted - known]
    durable = {seed: kept(store, by_seed[seed]) for seed in unfinished}
    second = Generator(str(folder), [])
    reports = to_the_end(second, unfinished)
    second.kill()
    for seed in unfinished:
        problems += [f"{kill.name}: {text}" for text in resumed(seed, durable[seed], first, second, reports.get(seed))]
    for seed in known:
        problems += [f"{kill.name}: {text}" for text in complete(store, by_seed[seed], engine)]
    left = [*store.objects.paths("runs/"), *store.objects.paths("cancels/")]
    return problems + [f"{kill.name}: {path} is left" for path in left]


def to_the_end(generator: Generator, seeds: set[int]) -> dict[int, Report]:
    """Reports by seed; those that never came are missing."""
    reports: dict[int, Report] = {}
    while not seeds <= set(reports) and (told := generator.hear()) is not None:
        if told.what == "ended" and told.report is not None:
            reports[told.seed] = told.report
    return reports


def resumed(seed: int, durable: int, first: Generator, second: Generator, report: Report | None) -> list[str]:
    """What is wrong with how ``second`` went on."""
    if report is None or report.outcome is not Outcome.DONE:
        return [f"seed {seed} was not finished"]
    problems = []
    again = [step for which, step in second.steps if which == seed]
    if again != list(range(durable + 1, STEPS + 1)):
        problems.append(f"seed {seed} had {durable} steps kept and then made {again}")
    made = max((step for which, step in first.steps if which == seed), default=0)
    # It may have died between its last step and the note of it.
    if not max(0, made - 1 - durable) <= report.lost_steps <= made - durable:
        problems.append(f"seed {seed} lost {made - durable} steps, its report says {report.lost_steps}")
    if report.denoise_steps != STEPS:
        problems.append(f"seed {seed} reports {report.denoise_steps} steps")
    return problems


def complete(store: Store, request: Request, engine: Engine) -> list[str]:
    """What is wrong with what is stored in the end."""
    latents, problems = store.latents(request.take_name), []
    if latents is None or latents[1] != undisturbed(engine, request):
        problems.append(f"seed {request.take.seed} has other bits")
    if store.video(request.name) is None:
        problems.append(f"seed {request.take.seed} has no video")
    if store.snapshot(request.take_name) is not None:
        problems.append(f"seed {request.take.seed} has left its snapshot")
    return problems


def pair(folder: Path, engine: Engine, requests: list[Request], chance: random.Random) -> list[str]:
    """Two generators on one store, the one that was asked is killed; what went wrong, in words."""
    second = Generator(str(folder), [], lease_s=2.0)
    second.until("ready")
    first = Generator(str(folder), requests, lease_s=2.0)
    first.until("accepted", seed=requests[-1].take.seed)
    first.until("denoise", chance.randint(1, STEPS))
    first.kill()
    store = Store(folder)
    unfinished = {r.take.seed for r in requests if store.video(r.name) is None}
    reports = to_the_end(second, unfinished)
    second.kill()
    problems = [f"two: seed {seed} was not finished" for seed in unfinished - set(reports)]
    for request in requests:
        problems += [f"two: {text}" for text in complete(store, request, engine)]
    twice = {step for step in first.steps if step in second.steps}
    # Of the run that was at work when it was killed: what came after its last snapshot, of which there is one a step.
    return problems + ([f"two: {sorted(twice)} were made by both"] if len(twice) > 2 else [])


def rows(engine: Engine, count: int) -> list[Goal]:
    chance = random.Random(4)
    problems: list[str] = []
    done: Counter[str] = Counter()
    for i in range(count):
        kill = KILLS[i % len(KILLS)]
        with tempfile.TemporaryDirectory() as folder:
            problems += strike(kill, Path(folder) / "store", engine, [tiny(2 * i), tiny(2 * i + 1)], chance)
        done[kill.name] += 1
    twos = max(2, count // 5)
    for i in range(twos):
        with tempfile.TemporaryDirectory() as folder:
            problems += pair(Path(folder) / "store", engine, [tiny(2 * i), tiny(2 * i + 1)], chance)
    print(f"SIGKILL: {dict(done)}; with two generators on one store: {twos}")
    print("\n".join(problems))
    name = f"SIGKILLs ({count} alone, {twos} of two): anything lost, made twice or of other bits"
    return [Goal(name=name, value=len(problems), compare="==", target=0)]
