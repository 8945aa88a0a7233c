"""That the caches of a tier's text are on: what really ran, and what they counted."""

from __future__ import annotations

import dataclasses
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from generator_service import canary, text, wan
from generator_service.conditioning import Conditioner
from generator_service.core import Request, Take
from generator_service.engine import Engine
from generator_service.lru import Counts

Tiny = Callable[..., Request]


@pytest.fixture
def ran(components: wan.Components) -> Iterator[Counter[str]]:
    """Rows that went through the text's modules, by module, counted where they run."""
    found: Counter[str] = Counter()
    parts = {"encoder": components.text_encoder}
    for name in ("transformer", "transformer_2"):
        expert = getattr(components, name)
        parts |= {f"{name} text": expert.condition_embedder.text_embedder, f"{name} key": expert.blocks[0].attn2.to_k}
        parts |= {f"{name} value": expert.blocks[-1].attn2.to_v}

    def counting(name: str) -> Callable[..., None]:
        return lambda _module, inputs, _output: found.update({name: inputs[0].shape[1]})

    hooks = [module.register_forward_hook(counting(name)) for name, module in parts.items()]
    yield found
    for hook in hooks:
        hook.remove()


def engine_with(components: wan.Components, **changes: Any) -> Engine:
    return Engine(dataclasses.replace(components, tier=components.tier.model_copy(update=changes)))


def denoise(engine: Engine, take: Take) -> None:
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)


def test_text_runs_once_for_each_prompt_and_expert(tiny: Tiny, components: wan.Components, ran: Counter[str]) -> None:
    """6 steps, two prompts: 12 passes, some through each expert. One row a pass stands in for the text."""
    engine = engine_with(components)
    denoise(engine, tiny(steps=6).take)
    assert ran["encoder"] == 2 * 512
    for expert in ("transformer", "transformer_2"):
        assert ran[f"{expert} key"] == ran[f"{expert} value"] == 2 * 512
    assert ran["transformer text"] + ran["transformer_2 text"] == 4 * 512 + 12
    assert engine.text.kvs.counts == Counts(made=4, reused=8)


def test_without_it_text_runs_in_every_pass(tiny: Tiny, components: wan.Components, ran: Counter[str]) -> None:
    engine = engine_with(components, text_kv=False)
    denoise(engine, tiny(steps=6).take)
    assert ran["transformer key"] + ran["transformer_2 key"] == 12 * 512
    assert engine.text.kvs.counts == Counts()


def test_the_negative_prompt_is_shared_by_every_request(
    tiny: Tiny, components: wan.Components, ran: Counter[str]
) -> None:
    engine = engine_with(components)
    for number in range(3):
        denoise(engine, tiny(prompt=f"circle {number}", seed=number).take)
    assert ran["encoder"] == 4 * 512
    assert engine.text.states.counts == Counts(made=4, reused=2)
    assert len(engine.text.kvs) == 8


def test_it_tells_which_texts_it_would_have_to_encode(tiny: Tiny, components: wan.Components) -> None:
    engine, take, same = engine_with(components), tiny(steps=1).take, {"prompt": "a dot", "negative_prompt": "a dot"}
    assert (engine.text.missing(take), engine.text.missing(tiny(guidance=1.0).take)) == (2, 1)
    denoise(engine, take)
    assert (engine.text.missing(take), engine.text.missing(tiny(prompt="a ring").take)) == (0, 1)
    assert engine.text.missing(tiny(**same).take) == 1
    counts = dataclasses.replace(engine.text.states.counts)
    engine.text.missing(take)
    assert engine.text.states.counts == counts


def test_folded_text_has_only_its_own_rows_and_one(tiny: Tiny, components: wan.Components, ran: Counter[str]) -> None:
    engine = engine_with(components, fold_text=True)
    take = tiny().take
    denoise(engine, take)
    rows = sum(len(components.tokenizer.ids(prompt)) + 1 for prompt in (take.prompt, take.negative_prompt))
    assert ran["transformer key"] == rows < 40


def test_a_cached_state_is_the_state(components: wan.Components) -> None:
    conditioner = Conditioner(components)
    with torch.no_grad():
        first, again = conditioner.encode("a red circle"), conditioner.encode("a red circle")
        fresh = text.encode_prompt(
            "a red circle",
            components.tokenizer,
            components.text_encoder,
            window=512,
            device=components.device,
            dtype=components.dtype,
        )
    assert first is again
    assert torch.equal(first.padded(), fresh)
    assert conditioner.states.bytes == first.real.nbytes == len(components.tokenizer.ids("a red circle")) * 96 * 4


def test_states_are_kept_by_everything_that_decides_them(components: wan.Components) -> None:
    conditioner = Conditioner(components)
    with torch.no_grad():
        key = conditioner.encode("a red circle").key
    changes = {"encoder": "", "text": "b", "window": 256, "dtype": torch.bfloat16, "device": torch.device("meta")}
    assert {field.name for field in dataclasses.fields(key)} == set(changes)
    assert all(dataclasses.replace(key, **{name: value}) not in conditioner.states for name, value in changes.items())
    assert dataclasses.replace(key) in conditioner.states


def test_a_prompt_that_is_too_long_is_not_remembered(components: wan.Components) -> None:
    conditioner = Conditioner(components)
    for _ in range(2):
        with pytest.raises(text.PromptTooLongError):
            conditioner.encode("circle " * 600)
    assert conditioner.states.counts == Counts()


def test_the_canary_leaves_nothing_behind(components: wan.Components) -> None:
    engine = engine_with(components)
    canary.sing(engine)
    assert (engine.text.states.bytes, engine.text.kvs.bytes) == (0, 0)


@pytest.mark.parametrize("kept", [True, False])
def test_clearing_gives_back_all_that_was_made_of_a_text(components: wan.Components, kept: bool) -> None:
    """Keys and values, or the padded windows that a tier has in their place."""
    conditioner, expert = engine_with(components, text_kv=kept).text, components.transformer
    with torch.no_grad():
        states = conditioner.encode("a red circle")
        with conditioner.lent(expert, states) as rows:
            made = expert.blocks[0].attn2.processor.key if kept else rows
    found = [weakref.ref(made), weakref.ref(states.real)]
    del made, rows, states
    assert None not in [each() for each in found]
    conditioner.clear()
    assert [each() for each in found] == [None, None]


def test_clearing_between_two_steps_costs_time_and_no_bit(tiny: Tiny, components: wan.Components) -> None:
    engine, latents = engine_with(components), []
    for clears in (False, True):
        state = engine.prepare(tiny().take)
        while not state.done:
            engine.step(state)
            if clears:
                engine.text.clear()
        latents.append(state.latents)
    assert torch.equal(*latents)
