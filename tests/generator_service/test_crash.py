"""SIGKILL, in the middle of anything: every accepted video is finished, to the same bits, and nothing is made twice that was kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import engine_crash
from benchmarks.engine_crash import KILLS, Generator, Kill
from benchmarks.engine_kills import complete, pair, strike, tiny, to_the_end
from generator_service.core import Outcome
from generator_service.engine import Engine
from generator_service.store import Store
from tests.generator_service.bucket import endpoint, new_bucket

SEED = random.SystemRandom().randrange(1 << 32)


@pytest.fixture
def chance() -> random.Random:
    """Other moments to strike at every time; pytest shows the seed of those that found something."""
    print(f"seed {SEED}")
    return random.Random(SEED)


pytestmark = pytest.mark.timeout(240)  # the server of forks imports torch once


@pytest.fixture(scope="module", autouse=True)
def _prepared(model_folder: Path) -> None:
    engine_crash.prepare(model_folder)


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.name)
def test_who_is_killed_loses_no_video_no_bit_and_no_step_that_was_kept(
    engine: Engine, tmp_path: Path, kill: Kill, chance: random.Random
) -> None:
    requests = [tiny(seed) for seed in (1, 2)]
    assert strike(kill, tmp_path / "store", engine, requests, chance) == []


def test_the_other_generator_on_the_store_takes_over(engine: Engine, tmp_path: Path, chance: random.Random) -> None:
    assert pair(tmp_path / "store", engine, [tiny(1), tiny(2)], chance) == []


def test_on_a_bucket_the_other_one_waits_for_the_lease_to_run_out(engine: Engine) -> None:
    with endpoint() as address:
        url, options = new_bucket(address, "crash")
        first = Generator(url, [tiny(1)], options=options, lease_s=2.0)
        first.until("denoise", 3)
        first.kill()
        second = Generator(url, [], options=options, lease_s=2.0)
        report = to_the_end(second, {1})[1]
        second.kill()
        assert report.outcome is Outcome.DONE
        assert (report.denoise_steps, report.attempts) == (4, 2)
        assert complete(Store(url, options), tiny(1), engine) == []


def test_who_hangs_longer_than_its_lease_makes_no_step_beyond_the_one_it_hung_in(
    engine: Engine, tmp_path: Path
) -> None:
    request, folder = tiny(1, steps=60), str(tmp_path / "store")
    first = Generator(folder, [request], lease_s=1.0)
    first.until("denoise", 3)
    first.pause()
    second = Generator(folder, [], lease_s=1.0)
    report = to_the_end(second, {1})[1]
    assert (report.outcome, report.attempts, report.denoise_steps) == (Outcome.DONE, 2, 60)
    told = len(first.told)
    first.resume()
    while first.hear(2.0) is not None:
        pass
    after = [each for each in first.told[told:] if each.what == "denoise"]
    # Its pipe held what it had said before it was stopped.
    resumed_at = report.resumed_steps + report.lost_steps
    assert [each.step for each in after if each.step > resumed_at + 1] == []
    assert not [each for each in first.told if each.what == "store"]
    first.kill()
    second.kill()
    assert complete(Store(folder), request, engine) == []
