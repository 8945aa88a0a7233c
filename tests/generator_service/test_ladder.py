"""Down the ladder, and weights on their way off the device and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from generator_service import ladder, offload, wan
from generator_service.core import Request, Rung, Stage
from generator_service.engine import Engine


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_from_any_stage_the_ladder_ends_alone_and_then_there_is_none(device: str) -> None:
    there = ladder.rungs(device)
    for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE):
        rung, seen = Rung.PLAIN, []
        while (lower := ladder.below(rung, stage, there)) is not None:
            rung = lower
            seen.append(rung)
        assert seen == [each for each in there[1:] if each is not Rung.TILED or stage is Stage.DECODE]
        assert rung is Rung.ALONE


def test_only_the_allocators_refusal_is_out_of_memory() -> None:
    assert ladder.out_of_memory(torch.OutOfMemoryError())
    assert not ladder.out_of_memory(MemoryError())
    assert not ladder.out_of_memory(RuntimeError("out of memory"))
    ladder.relieve(torch.device("cpu"))


@pytest.fixture
def own(tier: object, model_folder: object) -> Engine:
    """Weights that nobody shares: hooks stay on a module."""
    return Engine(wan.load(tier, torch.device("cpu")))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rung", "least"), [(Rung.EXPERT_OFFLOADED, 2), (Rung.GROUPS_OFFLOADED, 8), (Rung.ALONE, 8)])
def test_offloading_is_on_changes_no_bit_and_comes_off(
    own: Engine, tiny: Callable[..., Request], rung: Rung, least: int
) -> None:
    def latents() -> torch.Tensor:
        state = own.prepare(tiny().take)
        while not state.done:
            own.step(state)
        return state.latents

    expected = latents()
    assert offload.apply(own.parts, rung) >= least
    assert torch.equal(latents(), expected)
    offload.restore(own.parts)
    assert not hasattr(own.parts.transformer, "_hf_hook")
    assert offload.apply(own.parts, Rung.PLAIN) == 0
    assert torch.equal(latents(), expected)


@pytest.mark.parametrize("rung", [Rung.EXPERT_OFFLOADED, Rung.GROUPS_OFFLOADED, Rung.ALONE])
@pytest.mark.parametrize("fold_text", [False, True])
def test_text_is_projected_inside_an_expert_whose_weights_are_away_and_has_the_same_bits(
    own: Engine, tiny: Callable[..., Request], rung: Rung, fold_text: bool
) -> None:
    """The hooks bring weights in when a forward begins; a part that is called before it would meet them on the host."""
    engine = Engine(dataclasses.replace(own.parts, tier=own.tier.model_copy(update={"fold_text": fold_text})))
    inside, projected = [False], []

    def latents() -> torch.Tensor:
        state = engine.prepare(tiny().take)
        while not state.done:
            engine.step(state)
        return state.latents

    expected = latents()
    engine.text.clear()
    offload.apply(engine.parts, rung)
    for expert in (engine.parts.transformer, engine.parts.transformer_2):
        expert.register_forward_pre_hook(lambda *_: inside.__setitem__(0, True))
        expert.register_forward_hook(lambda *_: inside.__setitem__(0, False))
        for part in (expert.condition_embedder.text_embedder, *(block.attn2.to_k for block in expert.blocks)):
            part.register_forward_pre_hook(lambda *_: projected.append(inside[0]))
    assert torch.equal(latents(), expected)
    assert len(projected) >= 4 * 2
    assert all(projected)
    offload.restore(engine.parts)
    # What was kept before is there again, and nothing of the rung is left on the processors.
    assert torch.equal(latents(), expected)
    assert engine.text.kvs.bytes > 0


def test_the_idle_expert_is_sent_away_by_the_busy_one(own: Engine, tiny: Callable[..., Request]) -> None:
    """The hooks call each other: the one that runs has the other moved."""
    offload.apply(own.parts, Rung.EXPERT_OFFLOADED)
    first, second = own.parts.transformer._hf_hook, own.parts.transformer_2._hf_hook
    assert first.prev_module_hook.hook is second
    assert second.prev_module_hook.hook is first
    offload.restore(own.parts)
