"""Several requests in one forward pass: each is what it would be alone, up to rounding.

On the trained embedded model: random weights hardly read their text, so there a mistaken one would pass for rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from generator_service import tier as tiers
from generator_service import wan
from generator_service.batch import shares
from generator_service.core import Request, Take
from generator_service.engine import Denoising, Engine, NotFiniteError

Tiny = Callable[..., Request]
ROUNDING = 1e-4
# Other prompts, guidance, solvers; 4.0 and 1.0 is guidance off.
MIXED: tuple[dict[str, Any], ...] = (
    {"seed": 1},
    {"seed": 2, "prompt": "a blue ring stays still", "guidance": 6.5, "guidance_2": 1.5},
    {"seed": 3, "steps": 7, "negative_prompt": ""},
    {"seed": 4, "guidance": 1.0, "guidance_2": 1.0},
    {"seed": 5, "prompt": "一个红色的圆形在草地上向左移动", "steps": 9},
)


@pytest.fixture(scope="module")
def trained() -> wan.Components:
    return wan.load(tiers.load(tiers.FOLDER / "embedded.yaml"), torch.device("cpu"))


@pytest.fixture(scope="module")
def exact(trained: wan.Components) -> Engine:
    return Engine(trained)


def with_settings(components: wan.Components, **changes: Any) -> Engine:
    return Engine(dataclasses.replace(components, tier=components.tier.model_copy(update=changes)))


def alone(engine: Engine, take: Take) -> Tensor:
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    return state.latents


def together(engine: Engine, states: list[Denoising]) -> None:
    while live := [state for state in states if not state.done]:
        assert engine.step_many(live) == [None] * len(live)


@pytest.mark.parametrize(
    "settings", [{}, {"text_kv": False}, {"text_kv_mib": 0}, {"fold_text": True}, {"batch_tokens": 24}], ids=str
)
def test_mixed_steps_guidance_and_prompts_come_out_as_alone_up_to_rounding(
    tiny: Tiny, trained: wan.Components, exact: Engine, settings: dict[str, Any]
) -> None:
    """24 tokens are three rows of the tiny shape, so that its batches are split."""
    shared = with_settings(trained, batch=True, **settings)
    takes = [tiny(**changes).take for changes in MIXED]
    states = [shared.prepare(take) for take in takes]
    # They are at different steps, and so at different experts.
    for state, ahead in zip(states, (0, 3, 2, 1, 0), strict=True):
        for _ in range(ahead):
            shared.step(state)
    together(shared, states)
    for state, take in zip(states, takes, strict=True):
        expected = alone(exact, take)
        assert (state.latents - expected).abs().max() <= ROUNDING * expected.abs().max()
    # Of their nine rows, as many as need the same expert.
    assert max(shared.passes) == (3 if "batch_tokens" in settings else 7)


def test_the_tolerance_tells_another_text_guidance_or_solver_apart(tiny: Tiny, exact: Engine) -> None:
    first = alone(exact, tiny().take)
    for changes in ({"prompt": "a blue ring stays still"}, {"negative_prompt": ""}, {"steps": 5}, {"guidance": 4.1}):
        other = alone(exact, tiny(**changes).take)
        assert (first - other).abs().max() > 10 * ROUNDING * first.abs().max()


def test_whoever_is_not_finite_fails_alone(tiny: Tiny, trained: wan.Components, exact: Engine) -> None:
    shared = with_settings(trained, batch=True)
    takes = [tiny(seed=seed).take for seed in range(4)]
    states = [shared.prepare(take) for take in takes]
    shared.step_many(states)
    states[2].latents[0, 0, 0, 0, 0] = float("nan")
    errors = shared.step_many(states)
    assert [type(error) for error in errors] == [type(None), type(None), NotFiniteError, type(None)]
    together(shared, [state for state in states if state is not states[2]])
    for i in (0, 1, 3):
        expected = alone(exact, takes[i])
        assert (states[i].latents - expected).abs().max() <= ROUNDING * expected.abs().max()


def test_a_solver_that_breaks_fails_its_own_request(tiny: Tiny, trained: wan.Components) -> None:
    shared = with_settings(trained, batch=True)
    states = [shared.prepare(tiny(seed=seed).take) for seed in range(3)]
    states[0].scheduler.num_inference_steps = None
    errors = shared.step_many(states)
    assert isinstance(errors[0], ValueError)
    assert errors[1:] == [None, None]
    assert [state.index for state in states] == [0, 1, 1]


def test_a_snapshot_of_a_batch_goes_on_alone_or_in_another(tiny: Tiny, trained: wan.Components, exact: Engine) -> None:
    shared = with_settings(trained, batch=True)
    takes = [tiny(seed=seed, steps=6).take for seed in range(3)]
    states = [shared.prepare(take) for take in takes]
    for _ in range(3):
        shared.step_many(states)
    thawed = [shared.thaw(take, shared.freeze(state)) for take, state in zip(takes, states, strict=True)]
    together(shared, thawed[:1])
    together(shared, thawed[1:])
    for state, take in zip(thawed, takes, strict=True):
        expected = alone(exact, take)
        assert (state.latents - expected).abs().max() <= ROUNDING * expected.abs().max()


def test_an_exact_tier_makes_passes_of_one_and_refuses_more(tiny: Tiny, trained: wan.Components) -> None:
    engine = with_settings(trained)
    alone(engine, tiny().take)
    assert engine.passes == {1: 8}
    states = [engine.prepare(tiny(seed=seed).take) for seed in range(2)]
    with pytest.raises(ValueError, match="exact"):
        engine.step_many(states)


def test_keys_and_values_are_made_once_for_all_steps_of_a_batch(tiny: Tiny, trained: wan.Components) -> None:
    shared = with_settings(trained, batch=True)
    states = [shared.prepare(tiny(seed=seed, prompt=f"circle {seed % 2}", steps=8).take) for seed in range(4)]
    together(shared, states)
    # Two prompts and the negative one, for each expert.
    assert shared.text.kvs.counts.made == 6
    assert shared.passes == {8: 8}


def test_nothing_stays_lent_after_a_pass_that_failed(tiny: Tiny, trained: wan.Components) -> None:
    shared = with_settings(trained, batch=True)
    states = [shared.prepare(tiny(seed=1).take), shared.prepare(tiny(seed=2, width=48).take)]
    with pytest.raises(RuntimeError, match="size"):
        shared.step_many(states)
    assert [state.index for state in states] == [0, 0]
    assert torch.equal(alone(with_settings(trained), tiny().take), alone(with_settings(trained), tiny().take))
    assert all(not block.attn2.processor.shared for block in trained.transformer.blocks)


@given(total=st.integers(0, 10**12), weights=st.lists(st.integers(1, 10**5), min_size=1, max_size=20))
def test_shares_are_whole_and_add_up(total: int, weights: list[int]) -> None:
    split = shares(total, weights)
    assert sum(split) == total
    assert all(
        abs(part - total * weight / sum(weights)) <= 1 + 1e-6 for part, weight in zip(split, weights, strict=True)
    )
