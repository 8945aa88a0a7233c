"""8 bits: the products are those of the rounded numbers, and what the rounding costs is measured against fp32."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generator_service import precision, wan
from generator_service.allocations import Allocations
from generator_service.conditioning import Conditioner
from generator_service.core import Request
from generator_service.engine import Engine
from generator_service.tier import Tier
from tests.generator_service.trained import EMBEDDED, latents, relative

CPU = torch.device("cpu")
# Of final latents against fp32's, on the embedded model at its default shape (measured, with room of a third).
BOUNDS = {"bfloat16": 0.02, "float16": 0.0025, "fp8": 0.14, "int8": 0.045}


@pytest.mark.parametrize("kind", ["fp8", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_device_product_is_the_product_of_the_rounded_numbers(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(256, 96).to(dtype).requires_grad_(False), torch.randn(3, 7, 256).to(dtype)
    exact = layer.double()(x.double())
    found, emulated = (precision.linear8(layer.to(dtype), kind, reference=each)(x) for each in (False, True))
    assert found.shape == (3, 7, 96)
    assert found.dtype is dtype
    # Sums in another order, and one rounding to the output's type.
    assert relative(found, emulated) < {torch.float32: 1e-6, torch.bfloat16: 4e-3}[dtype]
    assert 1e-3 < relative(found, exact) < {"fp8": 0.045, "int8": 0.015}[kind]


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_every_row_has_a_scale_of_its_own(kind: str) -> None:
    """One large row leaves the others as they were; zeros stay zeros, and nothing overflows to NaN."""
    torch.manual_seed(0)
    x = torch.randn(8, 64)
    loud = x.clone()
    loud[3] *= 1e6
    loud[4] = 0
    rounding = precision.ROUNDING[kind]
    (quiet, scale), (found, scales) = rounding(x), rounding(loud)
    others = [0, 1, 2, 5, 6, 7]
    assert torch.equal(found[others].float(), quiet[others].float())
    assert torch.equal(scales[others], scale[others])
    assert not found[4].float().any()
    assert (found.float() * scales).isfinite().all()


def test_only_the_blocks_linear_layers_are_rounded_and_modulation_stays_fp32(tier: Tier) -> None:
    parts = wan.load(tier.model_copy(update={"dtype": "bfloat16", "quantisation": "fp8"}), CPU)
    for expert in (parts.transformer, parts.transformer_2):
        assert expert is not None
        inside = [each for each in expert.blocks.modules() if isinstance(each, precision.Linear8)]
        # q, k, v and out of two attentions, and two of the feed-forward.
        assert len(inside) == 10 * len(expert.blocks)
        assert not any(isinstance(each, nn.Linear) for each in expert.blocks.modules())
        assert {each.weight.dtype for each in inside} == {torch.float8_e4m3fn}
        assert isinstance(expert.proj_out, nn.Linear)
        kept = {
            name: p.dtype for name, p in expert.named_parameters() if "scale_shift_table" in name or ".norm2" in name
        }
        assert kept
        assert set(kept.values()) == {torch.float32}
        assert expert.condition_embedder.time_embedder.linear_1.weight.dtype is torch.float32
    assert parts.tuned.facts["quantised"] == "40 layers"


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_many_rows_go_piece_by_piece_to_the_same_numbers_and_little_memory(kind: str) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(32, 64).requires_grad_(False), torch.randn(3 * precision.ROWS + 5, 32)
    small = precision.linear8(layer, kind)
    with Allocations() as count:
        found = small(x)
    whole = small._product(x, small.weight, small.scale, small.bias)
    assert torch.allclose(found, whole, atol=1e-5)
    assert count.peak < 2.2 * found.nbytes


def test_a_layer_that_cannot_be_rounded_is_refused() -> None:
    with pytest.raises(ValueError, match="24 by 16"):
        precision.linear8(nn.Linear(24, 16), "fp8")


def test_rounded_weights_take_a_quarter_of_the_memory(tier: Tier) -> None:
    def size(part: nn.Module) -> int:
        return sum(each.nbytes for each in (*part.parameters(), *part.buffers()))

    blocks = [wan.load(tier.model_copy(update={"quantisation": q}), CPU).transformer.blocks for q in ("none", "int8")]
    assert size(blocks[1]) < 0.28 * size(blocks[0])


@pytest.mark.parametrize("setting", BOUNDS)
def test_the_error_of_each_precision_on_the_embedded_model_is_within_its_bound(
    setting: str, trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    changes = {"quantisation": setting} if setting.endswith("8") else {"dtype": setting}
    take = drawn().take
    error = relative(latents(trained(**changes), take), latents(trained(), take))
    assert 0 < error < BOUNDS[setting]


def test_a_vae_in_bf16_is_on_and_its_pictures_differ_by_a_few_levels(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    wide, narrow = trained(), trained(vae_dtype="bfloat16")
    found, made = latents(wide, drawn().take), []
    for engine in (wide, narrow):
        assert engine.parts.vae.dtype is {wide: torch.float32, narrow: torch.bfloat16}[engine]
        decoding, pieces = engine.begin_decode(found), []
        while not decoding.done:
            pieces.append(engine.decode(decoding).astype(int))
        made.append(np.concatenate(pieces))
    apart = np.abs(made[0] - made[1])
    assert 0 < apart.mean() < 0.6
    assert apart.max() <= 6


def test_a_text_encoder_on_the_host_stays_there_and_only_its_states_go_to_the_device(
    tier: Tier, components: wan.Components
) -> None:
    """torch's own device without memory stands for a GPU, so that one sees what moves."""
    apart = torch.device("meta")
    host, device = (wan.load(tier.model_copy(update={"text_encoder": where}), apart) for where in ("host", "device"))
    places = [{p.device.type for p in parts.text_encoder.parameters()} for parts in (host, device)]
    assert places == [{"cpu"}, {"meta"}]
    for part in (host.transformer, host.vae):
        assert {p.device for p in part.parameters()} == {apart}
    made: list[Tensor] = []
    host.text_encoder.register_forward_hook(lambda _, __, found: made.append(found.last_hidden_state))
    assert Conditioner(host).encode("a red circle").real.device == apart
    known = Conditioner(components).encode("a red circle").real
    assert torch.equal(made[0].flatten(0, 1)[: known.numel() // known.shape[-1]], known.flatten(0, -2))
    assert host.execution != device.execution
    # A processor makes the states, so which one it is decides bits.
    assert "processor" in host.versions.keys() - device.versions.keys()


def test_guidance_is_combined_in_fp32_whatever_the_experts_compute_in(
    trained: Callable[..., Engine], drawn: Callable[..., Request]
) -> None:
    engine, take = trained(dtype="bfloat16"), drawn().take
    state = engine.prepare(take)
    found: list[Tensor] = []
    state.scheduler.step = lambda velocity, *_, **__: (found.append(velocity), (state.latents,))[1]  # type: ignore[method-assign]
    engine.step(state)
    assert found[0].dtype is torch.float32
    assert not torch.equal(found[0], found[0].bfloat16().float())


def test_kept_text_has_no_part_in_the_error(tier: Tier, tiny: Callable[..., Request]) -> None:
    """Keys and values that were made once are those that a rounded step makes."""
    parts = wan.load(tier.model_copy(update={"quantisation": "int8"}), CPU)
    kept = latents(Engine(parts), tiny().take)
    anew = Engine(dataclasses.replace(parts, tier=parts.tier.model_copy(update={"text_kv": False})))
    assert torch.equal(latents(anew, tiny().take), kept)
    assert EMBEDDED.is_dir()


def test_where_a_cpu_has_no_product_of_rows_the_reference_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under torch 2.11, which raises there."""
    layer, x = precision.linear8(nn.Linear(64, 32), "fp8"), torch.randn(5, 64)
    found = layer(x)

    def refuses(*_: object, **__: object) -> Tensor:
        raise RuntimeError("INTERNAL ASSERT FAILED")

    monkeypatch.setattr(torch, "_scaled_mm", refuses)
    assert not precision.fp8_on_cpu()
    monkeypatch.setattr(precision, "FP8_ON_CPU", precision.fp8_on_cpu())
    torch.testing.assert_close(layer(x), found, rtol=1e-5, atol=1e-5)
