"""Step caches are proven on, cost a bounded error, keep requests apart, and never meet a snapshot."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch

from generator_service import calibrate, step_cache
from generator_service.core import Request
from generator_service.engine import Engine
from generator_service.tier import StepCache
from tests.generator_service.trained import latents, relative

# Measured on the embedded model (`reelgate calibrate`), over 5 steps of the high-noise expert and 11 of the other.
MAG = StepCache(
    kind="mag",
    threshold=0.1,
    interval=2,
    warmup=2,
    ratios=(1.0, 0.974, 0.977, 0.977, 0.973),
    ratios_2=(1.0, 0.963, 0.960, 0.956, 0.945, 0.932, 0.924, 0.894, 0.876, 0.821, 0.781),
)
# How many of 32 passes go through the middle blocks at most, hooks on both experts, and the error of final latents.
CACHES = [
    (StepCache(kind="first_block", threshold=0.15), 24, 8, 0.3),
    (StepCache(kind="taylorseer", interval=2), 24, 10, 0.04),
    (StepCache(kind="taylorseer", interval=3), 22, 10, 0.09),
    (MAG, 22, 8, 0.17),
]


class Counted:
    """Passes of ``engine`` that went through the middle of its blocks, while the block lasts."""

    def __init__(self, engine: Engine) -> None:
        self.count = 0
        self._hooks = [e.blocks[2].attn1.register_forward_hook(self._seen) for e in engine.experts]

    def _seen(self, *_: object) -> None:
        self.count += 1

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


@pytest.mark.parametrize(("cache", "most", "hooks", "bound"), CACHES, ids=lambda each: getattr(each, "kind", str(each)))
def test_it_is_on_skips_work_and_costs_a_bounded_error(
    trained: Callable[..., Engine],
    drawn: Callable[..., Request],
    cache: StepCache,
    most: int,
    hooks: int,
    bound: float,
) -> None:
    engine, take = trained(step_cache=cache), drawn().take
    assert sum(step_cache.hooks(expert) for expert in engine.experts) == hooks
    with Counted(engine) as counted:
        found = latents(engine, take)
    assert counted.count <= most
    assert 1e-4 < relative(found, latents(trained(), take)) < bound


def test_without_the_setting_there_are_no_hooks_and_every_pass_is_whole(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    engine = trained()
    assert sum(step_cache.hooks(expert) for expert in engine.experts) == 0
    with Counted(engine) as counted:
        latents(engine, drawn().take)
    assert counted.count == 32


@pytest.mark.parametrize("cache", [case[0] for case in CACHES], ids=lambda each: each.kind)
def test_requests_that_take_turns_do_not_see_each_others_work(
    trained: Callable[..., Engine], drawn: Callable[..., Request], cache: StepCache
) -> None:
    engine = trained(step_cache=cache)
    takes = [drawn(seed=seed, prompt=prompt).take for seed, prompt in ((1, "a red circle"), (2, "a blue ring rises"))]
    alone = [latents(engine, take) for take in takes]
    states = [engine.prepare(take) for take in takes]
    while not states[0].done:
        for state in states:
            engine.step(state)
    assert all(torch.equal(state.latents, each) for state, each in zip(states, alone, strict=True))


def test_what_is_kept_of_a_request_goes_with_it(trained: Callable[..., Engine], drawn: Callable[..., Request]) -> None:
    engine = trained(step_cache=CACHES[1][0])

    def kept() -> int:
        gc.collect()
        return sum(len(m._state_cache) for expert in engine.experts for m in step_cache.managers(expert))

    before, state = kept(), engine.prepare(drawn().take)
    for _ in range(4):
        engine.step(state)
    assert kept() > before
    del state
    assert kept() == before


def test_a_take_of_another_schedule_than_the_ratios_is_made_in_full(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    engine = trained(step_cache=MAG)
    with Counted(engine) as counted:
        found = latents(engine, drawn(steps=6).take)
    assert counted.count == 12
    assert torch.equal(found, latents(trained(), drawn(steps=6).take))


def test_no_snapshot_holds_such_a_take(trained: Callable[..., Engine], drawn: Callable[..., Request]) -> None:
    engine = trained(step_cache=CACHES[1][0])
    assert not engine.resumes
    assert not engine.resumable(engine.prepare(drawn().take))
    assert trained().resumable(trained().prepare(drawn().take))


def test_calibration_measures_a_ratio_for_each_pass(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    high, low = calibrate.ratios(trained(), [drawn().take])
    assert (len(high), len(low)) == (5, 11)
    assert high[0] == low[0] == 1.0
    # What the settings above were rounded from.
    assert (*high, *low) == pytest.approx((*MAG.ratios, *MAG.ratios_2), abs=0.02)
    # And nothing of it stays on.
    assert sum(step_cache.hooks(expert) for expert in trained().experts) == 0
