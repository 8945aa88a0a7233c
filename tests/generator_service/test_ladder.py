"""Down the ladder, and weights on their way off the device and back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.hooks import HookRegistry
from diffusers.hooks.group_offloading import LazyPrefetchGroupOffloadingHook

from generator_service import ladder, offload, swap, wan
from generator_service.allocations import Allocations
from generator_service.core import Request, Rung, Stage
from generator_service.descent import Descent
from generator_service.engine import Engine
from generator_service.run import Run
from generator_service.tier import Parallel, StepCache
from generator_service.watchdog import device_lost
from generator_service.worker import failure_of


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
    assert not ladder.out_of_memory(torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    ladder.relieve(torch.device("cpu"))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=["CUDA", "cuBLAS", "cuDNN"],
)
def test_a_refusal_that_does_not_come_from_torchs_allocator_is_one_and_the_process_lives_on(error: Exception) -> None:
    assert ladder.out_of_memory(error)
    assert not device_lost(error)
    assert failure_of(error, Stage.DENOISE).cause == "out of device memory"


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
    assert swap.of(own.parts.transformer) is None
    assert offload.apply(own.parts, Rung.PLAIN) == 0
    assert torch.equal(latents(), expected)


@pytest.mark.parametrize("rung", [Rung.GROUPS_OFFLOADED, Rung.ALONE])
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


def test_an_expert_that_comes_whole_keeps_its_text_as_one_that_stays(own: Engine, tiny: Callable[..., Request]) -> None:
    def latents() -> torch.Tensor:
        state = own.prepare(tiny().take)
        while not state.done:
            own.step(state)
        return state.latents

    expected = latents()
    kept = own.text.kvs.bytes
    own.text.clear()
    offload.apply(own.parts, Rung.EXPERT_OFFLOADED)
    assert torch.equal(latents(), expected)
    assert own.text.kvs.bytes == kept > 0
    offload.restore(own.parts)


def test_one_expert_at_a_time_is_on_the_device_and_it_changes_once_a_video(
    own: Engine, tiny: Callable[..., Request]
) -> None:
    offload.apply(own.parts, Rung.EXPERT_OFFLOADED)
    found = swap.of(own.parts.transformer)
    assert found is not None
    assert found is swap.of(own.parts.transformer_2)
    assert found.here is None
    state, seen = own.prepare(tiny(steps=8).take), []
    while not state.done:
        own.step(state)
        seen.append(found.here)
    first = seen.count(own.parts.transformer)
    assert 0 < first < 8
    assert seen == [own.parts.transformer] * first + [own.parts.transformer_2] * (8 - first)
    assert found.swaps == 2
    offload.restore(own.parts)


def test_who_goes_is_forgotten_and_what_is_kept_is_never_written(own: Engine) -> None:
    experts = [own.parts.transformer, own.parts.transformer_2]
    before = [{name: each.clone() for name, each in expert.state_dict().items()} for expert in experts]
    found = swap.Swap(experts, torch.device("cpu"))
    kept = [[each.data_ptr() for each in expert.parameters()] for expert in experts]
    for here, there in ((0, 1), (1, 0)):
        found.bring(experts[here])
        assert not {each.data_ptr() for each in experts[here].parameters()} & set(kept[here])
        assert [each.data_ptr() for each in experts[there].parameters()] == kept[there]
        # What happens to weights on the device is lost with them.
        experts[here].proj_out.weight.data.zero_()
    found.remove()
    for expert, was in zip(experts, before, strict=True):
        assert all(torch.equal(each, was[name]) for name, each in expert.state_dict().items())


def test_a_tier_that_offloads_begins_there_and_comes_back_there(own: Engine, tiny: Callable[..., Request]) -> None:
    """The ladder of a GPU, over weights in the host's memory."""
    offloading = Engine(dataclasses.replace(own.parts, tier=own.tier.model_copy(update={"offload": "expert"})))
    offload.apply(offloading.parts, offload.OFFLOADS["expert"])
    descent = Descent({"embedded": offloading}, ladder.ON_CUDA)
    run, low = Run(tiny()), Run(tiny(seed=8))
    descent.put(run)
    assert swap.of(own.parts.transformer) is not None
    descent.enter(low.request, Rung.GROUPS_OFFLOADED)
    descent.put(run)
    assert swap.of(own.parts.transformer) is None
    assert offload.away(own.parts.transformer)
    descent.leave(low.request)
    descent.put(run)
    assert swap.of(own.parts.transformer) is not None
    assert not run.tally.tiled


def test_who_is_alone_has_its_weights_away_already_and_nothing_is_moved_again(
    own: Engine, tiny: Callable[..., Request]
) -> None:
    descent, run = Descent({"embedded": own}, ladder.ON_CUDA), Run(tiny())
    hooks = functools.partial(HookRegistry.check_if_exists_or_initialize, own.parts.transformer.blocks[0])
    descent.enter(run.request, Rung.GROUPS_OFFLOADED)
    descent.put(run)
    before = hooks().get_hook("group_offloading")
    descent.enter(run.request, Rung.ALONE)
    descent.put(run)
    assert run.tally.rung is Rung.ALONE
    assert before is not None
    assert hooks().get_hook("group_offloading") is before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [2, 3, 4]),
        ({"compile": True}, [2, 4]),
        ({"step_cache": StepCache(kind="first_block")}, [2, 4]),
        ({"parallel": Parallel(processes=2)}, [4]),
    ],
    ids=["plain", "compiled", "step cache", "parallel"],
)
def test_no_hooks_come_around_blocks_that_are_compiled_or_have_some(
    own: Engine, tiny: Callable[..., Request], changes: dict[str, Any], expected: list[int]
) -> None:
    """Settings that a tier's file may not have beside offloading are not brought about by the ladder either."""
    engine = Engine(dataclasses.replace(own.parts, tier=own.tier.model_copy(update=changes)))
    descent, run, seen = Descent({"embedded": engine}, ladder.ON_CUDA), Run(tiny()), []
    run.tally.stage = Stage.DENOISE
    while (rung := descent.lower(run, torch.OutOfMemoryError())) is not None:
        descent.put(run)
        run.tally.stage = Stage.DENOISE
        seen.append(int(rung))
    assert seen == expected
    grouped = offload.away(own.parts.transformer)
    assert grouped == (not changes)
    assert (swap.of(own.parts.transformer) is not None) == (expected == [2, 4])


def test_a_first_pass_that_failed_leaves_no_hook_that_keeps_the_next_rung_from_coming(own: Engine) -> None:
    """With streams, that is on a GPU, diffusers' prefetching watches the first pass and goes after it: as here, when there was none."""
    expert = own.parts.transformer
    offload.apply(own.parts, Rung.GROUPS_OFFLOADED)
    for _ in range(2):
        registry = HookRegistry.check_if_exists_or_initialize(expert)
        registry.register_hook(LazyPrefetchGroupOffloadingHook(), "lazy_prefetch_group_offloading")
        assert names(expert) >= {"lazy_prefetch_group_offloading", "layer_execution_tracker", "group_offloading"}
        assert offload.apply(own.parts, Rung.ALONE) > 0
        assert names(expert) == {"group_offloading"}
    offload.restore(own.parts)
    assert names(expert) == set()


def names(expert: torch.nn.Module) -> set[str]:
    """Of all hooks on ``expert`` and its parts."""
    return {
        name for each in expert.modules() if hasattr(each, "_diffusers_hook") for name in each._diffusers_hook.hooks
    }


def test_an_expert_for_which_there_is_no_room_is_not_left_half_on_the_device(own: Engine) -> None:
    experts = [own.parts.transformer, own.parts.transformer_2]
    found = swap.Swap(experts, torch.device("cpu"))
    at_home = [each.data_ptr() for each in experts[0].parameters()]
    size = sum(each.nbytes for each in (*experts[0].parameters(), *experts[0].buffers()))
    with Allocations(limit=size // 2) as device, pytest.raises(torch.OutOfMemoryError):
        found.bring(experts[0])
    assert size // 4 < device.peak
    assert (device.live, found.here) == (0, None)
    assert [each.data_ptr() for each in experts[0].parameters()] == at_home
