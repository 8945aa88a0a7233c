"""SIGKILL, in the middle of anything: every accepted video is finished, to the same bits, and nothing is made twice that was kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import engine_crash
from benchmarks.engine_crash import KILLS, Generator, Kill
from generator_service import snapshot
from generator_service.core import Outcome, Report, Request
from generator_service.engine import Engine, pack
from generator_service.store import Store
from generator_service.worker import Pace

Tiny = Callable[..., Request]
pytestmark = pytest.mark.timeout(240)  # the server of forks imports torch once


@pytest.fixture(scope="module", autouse=True)
def _prepared(model_folder: Path) -> None:
    engine_crash.prepare(model_folder)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Generator]]:
    started: list[Generator] = []

    def begin(*requests: Request, lease_s: float = 15.0, every: int = 1) -> Generator:
        generator = Generator(str(tmp_path / "store"), list(requests), lease_s=lease_s, pace=Pace(steps=every))
        started.append(generator)
        return generator

    yield begin
    for generator in started:
        generator.kill()


def undisturbed(engine: Engine, request: Request) -> bytes:
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


def to_the_end(generator: Generator, seeds: set[int]) -> dict[int, Report]:
    reports: dict[int, Report] = {}
    while set(reports) != seeds:
        told = generator.hear()
        assert told is not None, f"silent; finished are {sorted(reports)} of {sorted(seeds)}"
        if told.what == "ended":
            assert told.report is not None
            reports[told.seed] = told.report
    return reports


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.name)
def test_who_is_killed_loses_no_video_no_bit_and_no_step_that_was_kept(
    start: Callable[..., Generator], engine: Engine, tiny: Tiny, tmp_path: Path, kill: Kill
) -> None:
    chance = random.Random()
    requests = {seed: tiny(seed=seed) for seed in (1, 2, 3)}
    first = start(*requests.values(), every=chance.choice((1, 2)))
    kill.strike(first, chance)
    store = Store(tmp_path / "store")
    accepted = {told.seed for told in first.told if told.what == "accepted"}
    finished = {seed for seed in requests if store.video(requests[seed].name) is not None}
    unfinished = {seed for seed in requests if store.record(requests[seed].name) is not None} - finished
    assert accepted <= finished | unfinished
    durable = {seed: kept(store, requests[seed]) for seed in unfinished}
    second = start()
    reports = to_the_end(second, unfinished) if unfinished else {}
    for seed, report in reports.items():
        assert report.outcome is Outcome.DONE
        assert report.denoise_steps == 4
        assert [step for which, step in second.steps if which == seed] == list(range(durable[seed] + 1, 5))
        # It may have died between its last step and the note of it.
        made = max([step for which, step in first.steps if which == seed], default=0)
        assert max(0, made - 1 - durable[seed]) <= report.lost_steps <= made - durable[seed]
    second.kill()
    for seed in accepted | unfinished:
        latents, video = store.latents(requests[seed].take_name), store.video(requests[seed].name)
        assert latents is not None
        assert latents[1] == undisturbed(engine, requests[seed])
        assert video is not None
        assert store.snapshot(requests[seed].take_name) is None
    assert not list(store.objects.paths("runs/"))


def test_the_other_generator_takes_over_at_once(
    start: Callable[..., Generator], engine: Engine, tiny: Tiny, tmp_path: Path
) -> None:
    requests = [tiny(seed=seed) for seed in (1, 2)]
    second = start(lease_s=2.0)
    second.until("ready")
    first = start(*requests, lease_s=2.0)
    first.until("denoise", 2)
    first.kill()
    reports = to_the_end(second, {1, 2} - {told.seed for told in first.told if told.what == "ended"})
    assert all(report.outcome is Outcome.DONE for report in reports.values())
    store = Store(tmp_path / "store")
    both = [*first.steps, *second.steps]
    for request in requests:
        latents = store.latents(request.take_name)
        assert latents is not None
        assert latents[1] == undisturbed(engine, request)
    # Nothing of what either made was made by both, but for steps after the last snapshot.
    assert len(both) - len(set(both)) <= 2
