"""Guidance in an interval, and its direction kept: fewer passes, a bounded error, the same bits after a resume."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from generator_service import guidance
from generator_service.core import Request
from generator_service.engine import Engine
from generator_service.tier import Tier
from tests.generator_service.trained import latents, relative

# Passes of 16 steps (32 with guidance throughout), and the most that final latents may differ (measured: 0.03 to 0.12).
SETTINGS = [
    ({"guidance_interval": (0.1, 0.95)}, 29, 0.09),
    ({"guidance_every": 2}, 25, 0.09),
    ({"guidance_every": 3}, 23, 0.16),
]


@pytest.mark.parametrize(("changes", "passes", "bound"), SETTINGS, ids=str)
def test_fewer_passes_at_a_bounded_error(
    trained: Callable[..., Engine], drawn: Callable[..., Request], changes: dict[str, object], passes: int, bound: float
) -> None:
    engine, take = trained(**changes), drawn().take
    before = engine.passes[1]
    found = latents(engine, take)
    assert engine.passes[1] - before == passes
    assert 1e-4 < relative(found, latents(trained(), take)) < bound


def test_the_whole_interval_is_plain_guidance(trained: Callable[..., Engine], drawn: Callable[..., Request]) -> None:
    whole = trained(guidance_interval=(0.0, 1.0), guidance_every=1)
    assert torch.equal(latents(whole, drawn().take), latents(trained(), drawn().take))


def test_a_direction_of_the_other_expert_is_never_used(tier: Tier) -> None:
    kept = guidance.Direction(expert=0, towards=torch.zeros(1))
    every = tier.model_copy(update={"guidance_every": 4})
    assert not guidance.fresh(every, 3, kept, 0)
    assert guidance.fresh(every, 3, kept, 1)
    assert guidance.fresh(every, 3, None, 0)
    assert guidance.fresh(every, 4, kept, 0)


def test_a_kept_direction_gives_what_a_fresh_one_would_have_given() -> None:
    torch.manual_seed(0)
    away, velocity = torch.randn(2, 64)
    direction = guidance.Direction(expert=0, towards=velocity - away)
    assert torch.allclose(guidance.along(velocity, direction, 4.0), guidance.combine(away, velocity, 4.0), atol=1e-5)


def test_a_snapshot_is_taken_only_where_nothing_is_carried_over_and_goes_on_to_the_same_bits(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    engine, take = trained(guidance_every=3), drawn().take
    whole = latents(engine, take)
    state, stops = engine.prepare(take), []
    while not state.done:
        if engine.resumable(state):
            stops.append(state.index)
            state = engine.thaw(take, engine.freeze(state))
        engine.step(state)
    assert stops == [0, 3, 6, 9, 12, 15]
    assert torch.equal(state.latents, whole)


def test_an_interval_holds_in_a_batch_too(trained: Callable[..., Engine], tiny: Callable[..., Request]) -> None:
    alone, shared = trained(guidance_interval=(0.1, 0.95)), trained(guidance_interval=(0.1, 0.95), batch=True)
    takes = [tiny(seed=seed).take for seed in (1, 2)]
    states = [shared.prepare(take) for take in takes]
    while not states[0].done:
        assert shared.step_many(states) == [None, None]
    for state, take in zip(states, takes, strict=True):
        assert relative(state.latents, latents(alone, take)) < 1e-4
