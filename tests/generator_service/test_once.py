"""What both passes of a step have in common is made once, and is the same."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from generator_service import group, memory, wan
from generator_service.core import Request, Take
from generator_service.engine import Engine
from generator_service.measure import geometry
from generator_service.once import modules, once
from generator_service.tier import Parallel

Tiny = Callable[..., Request]


def engine_of(components: wan.Components, **settings: Any) -> Engine:
    return Engine(dataclasses.replace(components, tier=components.tier.model_copy(update=settings)))


@contextmanager
def counted(engine: Engine) -> Iterator[Counter[str]]:
    """How often each module was really run, by its expert's number and its name: of a module whose forward was spared, the parts
    inside are not called."""
    made: Counter[str] = Counter()
    hooks = []
    for number, expert in enumerate(engine.experts):
        inside = {
            "first attention": expert.blocks[0].attn1.to_q,
            "second attention": expert.blocks[1].attn1.to_q,
            "first text": expert.blocks[0].attn2.to_q,
            "time": expert.condition_embedder.time_embedder.linear_1,
        }
        for name, part in inside.items():
            key = f"{number} {name}"
            hooks.append(part.register_forward_pre_hook(lambda *_, key=key: made.update([key])))
    try:
        yield made
    finally:
        for hook in hooks:
            hook.remove()


def latents(engine: Engine, take: Take) -> torch.Tensor:
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    return state.latents


def test_a_guided_step_makes_the_first_attention_once_and_all_others_twice(
    tiny: Tiny, components: wan.Components
) -> None:
    take = tiny(steps=4).take
    with counted(engine := engine_of(components)) as made:
        shared = latents(engine, take)
    with counted(plain := engine_of(components, share_passes=False)) as twice:
        assert torch.equal(latents(plain, take), shared)
    for name, once_for in (("first attention", 1), ("time", 1), ("second attention", 2), ("first text", 2)):
        assert sum(made[f"{number} {name}"] for number in (0, 1)) == 4 * once_for
        assert sum(twice[f"{number} {name}"] for number in (0, 1)) == 4 * 2


def test_without_guidance_there_is_nothing_to_share(tiny: Tiny, components: wan.Components) -> None:
    with counted(engine := engine_of(components)) as made:
        latents(engine, tiny(steps=3, guidance=1.0, guidance_2=1.0).take)
    assert sum(made[f"{number} first attention"] for number in (0, 1)) == 3


def test_two_requests_that_take_turns_share_nothing_with_each_other(tiny: Tiny, components: wan.Components) -> None:
    engine = engine_of(components)
    takes = [tiny(seed=seed).take for seed in (1, 2)]
    alone = [latents(engine, take) for take in takes]
    states = [engine.prepare(take) for take in takes]
    while not all(state.done for state in states):
        for state in states:
            engine.step(state)
    assert all(torch.equal(state.latents, before) for state, before in zip(states, alone, strict=True))


def test_a_pass_that_fails_leaves_every_module_as_it_was(components: wan.Components) -> None:
    engine = engine_of(components)
    expert = engine.experts[0]
    shared = modules(expert, engine.tier)
    hooked = expert.rope.forward
    expert.rope.forward = lambda *given: hooked(*given)  # as a hook of diffusers does it
    lying_around = expert.rope.forward
    try:
        with pytest.raises(TypeError), once(shared):
            expert.rope()  # without latents
        assert expert.rope.forward is lying_around
        assert all("forward" not in module.__dict__ for module in shared if module is not expert.rope)
    finally:
        del expert.rope.forward


def test_what_is_kept_for_the_second_pass_is_counted(tiny: Tiny, components: wan.Components) -> None:
    sizes = geometry(components)
    shape = sizes.shape(tiny().take)
    plain = memory.predict(dataclasses.replace(sizes, shares_passes=False), shape)
    assert memory.predict(sizes, shape).step - plain.step == sizes.tokens(shape) * sizes.width * sizes.item
    unguided = dataclasses.replace(shape, passes=1)
    assert memory.predict(sizes, unguided) == memory.predict(dataclasses.replace(sizes, shares_passes=False), unguided)


def test_a_tier_that_compiles_shares_what_lies_outside_of_its_blocks(components: wan.Components) -> None:
    tier = components.tier.model_copy(update={"compile": True})
    expert = components.transformer
    assert expert.blocks[0].attn1 not in modules(expert, tier)
    assert expert.rope in modules(expert, tier)
    assert not geometry(dataclasses.replace(components, tier=tier)).shares_passes


@pytest.mark.parametrize("method", ["ulysses", "ring", "guidance"])
def test_each_of_several_processes_makes_it_once_too(tiny: Tiny, components: wan.Components, method: Any) -> None:
    """As one of them does, alone: both passes, or the one of its branch, of which nothing is twice."""
    engine = engine_of(components, parallel=Parallel(processes=2, method=method))
    state = engine.prepare(tiny(steps=4).take)
    assert state.negative is not None
    texts, t = [state.prompt, state.negative], state.scheduler.timesteps[0]
    with counted(engine) as found, torch.no_grad():
        passes = group.make(engine.parts, engine.text, 0, state.latents, t, texts, 0)
    assert (found["0 first attention"], found["0 second attention"]) == (1, len(passes))
    assert len(passes) == (1 if method == "guidance" else 2)
