"""Keys and values made once: the same bits unfolded, the same up to rounding folded."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from generator_service import text_kv, wan
from generator_service.models import blueprint

WINDOW = 512
TOKENS = (1, 9, 120, 511, 512)


@pytest.fixture(scope="module")
def expert(components: wan.Components) -> WanTransformer3DModel:
    """A copy, so that diffusers' own attention in the shared one stays what it is."""
    found = copy.deepcopy(components.transformer)
    for block in found.blocks:
        block.attn2.set_processor(WanAttnProcessor())
    return found


def lending(expert: WanTransformer3DModel) -> WanTransformer3DModel:
    ours = copy.deepcopy(expert)
    text_kv.install(ours)
    return ours


def text(tokens: int, seed: int = 0, window: int = WINDOW) -> Tensor:
    """States of a text that is not there, zeros past its last token."""
    states = torch.zeros(1, window, blueprint.TEXT_DIM)
    states[:, :tokens] = torch.randn(1, tokens, blueprint.TEXT_DIM, generator=torch.Generator().manual_seed(seed))
    return states


def inputs(step: int) -> dict[str, Any]:
    noisy = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(step))
    return {"hidden_states": noisy, "timestep": torch.tensor([float(step)]), "return_dict": False}


@torch.no_grad()
def velocity(expert: WanTransformer3DModel, states: Tensor, step: int = 700) -> Tensor:
    return expert(encoder_hidden_states=states, **inputs(step))[0]


@torch.no_grad()
def lent(expert: WanTransformer3DModel, kv: text_kv.TextKV, step: int = 700) -> Tensor:
    with text_kv.lent(expert, kv):
        return expert(encoder_hidden_states=text(1, seed=99)[:, :1], **inputs(step))[0]


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, beside the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("tokens", TOKENS)
def test_keys_and_values_made_once_give_every_step_its_bits(expert: WanTransformer3DModel, tokens: int) -> None:
    ours, states = lending(expert), text(tokens)
    with torch.no_grad():
        kv = text_kv.project(ours, states)
    for step in (999, 700, 3):
        assert torch.equal(lent(ours, kv, step), velocity(expert, states, step))


def test_fused_projections_give_their_bits_too(expert: WanTransformer3DModel) -> None:
    theirs = copy.deepcopy(expert)
    theirs.fuse_qkv_projections()
    ours, states = lending(theirs), text(9)
    with torch.no_grad():
        kv = text_kv.project(ours, states)
    assert torch.equal(lent(ours, kv), velocity(theirs, states))
    assert sum(tensor.untyped_storage().nbytes() for tensor in (*kv.keys, *kv.values)) == kv.nbytes


def test_bfloat16_gives_its_bits_too(expert: WanTransformer3DModel) -> None:
    theirs = copy.deepcopy(expert).to(torch.bfloat16)
    ours, states = lending(theirs), text(9).to(torch.bfloat16)
    more = {**inputs(700), "hidden_states": inputs(700)["hidden_states"].to(torch.bfloat16)}
    with torch.no_grad():
        expected = theirs(encoder_hidden_states=states, **more)[0]
        with text_kv.lent(ours, text_kv.project(ours, states)):
            assert torch.equal(ours(encoder_hidden_states=states[:, :1], **more)[0], expected)


def test_without_anything_lent_the_expert_is_diffusers_own(expert: WanTransformer3DModel) -> None:
    ours, states = lending(expert), text(9)
    with torch.no_grad():
        other = text_kv.project(ours, text(30, seed=1))
    assert torch.equal(velocity(ours, states), velocity(expert, states))
    assert not torch.equal(lent(ours, other), velocity(expert, states))
    assert torch.equal(velocity(ours, states), velocity(expert, states))


def test_what_was_lent_is_taken_back_when_a_step_fails(expert: WanTransformer3DModel) -> None:
    ours = lending(expert)
    with torch.no_grad():
        kv = text_kv.project(ours, text(9))
    with pytest.raises(ZeroDivisionError), text_kv.lent(ours, kv):
        raise ZeroDivisionError
    assert all(block.attn2.processor.key is None for block in ours.blocks)


@pytest.mark.parametrize("tokens", TOKENS)
def test_folded_padding_equals_all_of_it_up_to_rounding(expert: WanTransformer3DModel, tokens: int) -> None:
    ours, states = lending(expert), text(tokens)
    with torch.no_grad():
        kv = text_kv.folded(ours, states[:, :tokens], WINDOW)
    assert error(lent(ours, kv), velocity(expert, states)) <= 1e-5
    assert kv.keys[0].shape[1] == min(tokens + 1, WINDOW)


@pytest.mark.parametrize("tokens", [1, 9, 120])
def test_dropping_the_padding_or_its_weight_is_noticed(expert: WanTransformer3DModel, tokens: int) -> None:
    ours, states = lending(expert), text(tokens)
    expected = velocity(expert, states)
    with torch.no_grad():
        dropped = text_kv.project(ours, states[:, :tokens])
        unweighted = text_kv.project(ours, states[:, : tokens + 1])
    assert error(lent(ours, dropped), expected) > 1e-4
    assert error(lent(ours, unweighted), expected) > 1e-4


def test_the_formula_of_the_memory_is_what_is_held(expert: WanTransformer3DModel) -> None:
    with torch.no_grad():
        whole, small = text_kv.project(expert, text(9)), text_kv.folded(expert, text(9)[:, :9], WINDOW)
    assert whole.nbytes == text_kv.kv_bytes(expert.config, WINDOW, torch.float32)
    assert small.bias is not None
    assert small.nbytes - small.bias.nbytes == text_kv.kv_bytes(expert.config, 10, torch.float32)


def test_the_memory_of_a14b_by_the_formula() -> None:
    config = {"num_layers": 40, "num_attention_heads": 40, "attention_head_dim": 128}
    assert text_kv.kv_bytes(config, 512, torch.bfloat16) == 400 << 20


def test_another_prompt_compiles_nothing_anew(expert: WanTransformer3DModel) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    ours = lending(expert)
    compiled = torch.compile(ours, backend=counter)
    frames = []
    for seed in range(4):
        with torch.no_grad():
            kv = text_kv.project(ours, text(5 + seed, seed))
            expected = lent(ours, kv)
            with text_kv.lent(ours, kv):
                found = compiled(encoder_hidden_states=text(1, seed=99)[:, :1], **inputs(700))[0]
        assert torch.allclose(found, expected, atol=1e-6)
        frames.append(counter.frame_count)
    assert frames == [1] * 4


def test_folded_lengths_compile_once_more_and_then_never(expert: WanTransformer3DModel) -> None:
    """The first length is taken for the only one; the second makes the length a variable."""
    torch._dynamo.reset()
    counter = CompileCounter()
    ours = lending(expert)
    compiled = torch.compile(ours, backend=counter)
    frames = []
    for tokens in (7, 12, 40, 9, 300):
        with torch.no_grad(), text_kv.lent(ours, text_kv.folded(ours, text(tokens)[:, :tokens], WINDOW)):
            compiled(encoder_hidden_states=text(1, seed=99)[:, :1], **inputs(700))
        frames.append(counter.frame_count)
    assert frames == [1, 2, 2, 2, 2]


def test_an_expert_that_also_reads_an_image_is_refused() -> None:
    image = WanTransformer3DModel(num_attention_heads=2, attention_head_dim=24, num_layers=1, added_kv_proj_dim=48)
    with pytest.raises(ValueError, match="text_kv"):
        text_kv.install(image)
