"""Blocks compiled as one graph, and fused projections: equal within rounding, proven on, warm at the start."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
from collections.abc import Callable

import pytest
import torch

from generator_service import canary, compiled, offload, tuning, wan
from generator_service.core import Request, Rung
from generator_service.engine import Engine
from generator_service.tier import Tier
from tests.generator_service.trained import latents, relative

CPU = torch.device("cpu")
MISSING = compiled.available()


def test_fused_projections_are_on_drop_their_parts_and_are_equal_within_rounding(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    engine = trained(fuse_qkv=True)
    assert engine.parts.tuned.facts["fused"] == "8 layers"
    for expert in engine.experts:
        for block in expert.blocks:
            assert {name for name, _ in block.attn1.named_children()} >= {"to_qkv", "to_out"}
            assert not hasattr(block.attn1, "to_q")
            assert not hasattr(block.attn2, "to_v")
            assert hasattr(block.attn2, "to_q")
        assert not any(parameter.requires_grad for parameter in expert.parameters())
    plain = trained()
    sizes = [sum(p.numel() for p in each.experts[0].parameters()) for each in (engine, plain)]
    assert sizes[0] == sizes[1]
    assert relative(latents(engine, drawn().take), latents(plain, drawn().take)) < 1e-5


def test_no_product_is_tuned_at_the_start(
    trained: Callable[..., Engine], drawn: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the compiler: without it, products in 8 bits are tried with every template there is."""
    told: list[dict[str, object]] = []

    def compile_fx(graph: torch.fx.GraphModule, *_: object, config_patches: dict[str, object], **__: object) -> object:
        told.append(config_patches)
        return graph.forward

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", compile_fx)
    torch._dynamo.reset()
    expert = copy.deepcopy(trained().experts[0])  # the others go on as they are
    compiled.compile_blocks(expert)
    engine = Engine(dataclasses.replace(trained().parts, transformer=expert))
    engine.step(engine.prepare(drawn().take))
    torch._dynamo.reset()
    assert told
    assert all(each["max_autotune_gemm_backends"] == "ATEN" for each in told)


def test_fused_and_rounded_projections_have_the_error_of_rounded_ones(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    """Rows have scales of their own, so three weights side by side are rounded as each alone."""
    apart, fused = (latents(trained(quantisation="int8", fuse_qkv=f), drawn().take) for f in (False, True))
    assert relative(fused, apart) < 0.03


@pytest.mark.skipif(bool(MISSING), reason=f"nothing can be compiled here: {MISSING}")
@pytest.mark.parametrize(
    ("changes", "graphs", "bound"),
    [({}, 1, 1e-5), ({"fold_text": True, "fuse_qkv": True, "quantisation": "int8"}, 2, 0.05)],
    ids=["plain", "folded, fused, int8"],
)
def test_all_blocks_of_both_experts_share_their_graphs_which_the_canary_makes(
    tier: Tier, tiny: Callable[..., Request], changes: dict[str, object], graphs: int, bound: float
) -> None:
    torch._dynamo.reset()
    small = {
        "width": {"default": 32, "max": 64},
        "height": {"default": 32, "max": 64},
        "frames": {"default": 5, "max": 9},
    }
    shaped = Tier.model_validate(tier.model_dump() | small | changes | {"compile": True})
    before = compiled.graphs()
    engine = Engine(wan.load(shaped, CPU))
    canary.sing(engine)
    assert compiled.graphs() - before == graphs
    plain = Engine(wan.load(shaped.model_copy(update={"compile": False}), CPU))
    for prompt in ("a red circle", "a blue ring moves up over night, slowly and with care"):
        take = tiny(prompt=prompt).take
        found = latents(engine, take)
        assert not torch.equal(found, latents(plain, take))
        assert relative(found, latents(plain, take)) < bound
    # No prompt and neither expert needed another, nor does one that comes and goes.
    here = latents(engine, take)
    assert offload.apply(engine.parts, Rung.EXPERT_OFFLOADED) == 2
    assert torch.equal(latents(engine, take), here)
    assert compiled.graphs() - before == graphs


def test_graphs_that_were_not_expected_are_refused() -> None:
    compiled.check(1, 1)
    for made in (0, 2):
        with pytest.raises(compiled.GraphsError, match=f"made {made} graphs"):
            compiled.check(made, 1)


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="triton is here")
def test_a_gpu_is_compiled_for_by_triton_and_without_it_the_tier_is_refused_before_anything_is_read(tier: Tier) -> None:
    with pytest.raises(tuning.NotHereError, match="triton"):
        tuning.check(tier.model_copy(update={"compile": True}), torch.device("cuda"))
