"""Counted by formula and by torch, on random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from generator_service import flops, measure
from generator_service.core import Request, Stage
from generator_service.engine import Engine
from generator_service.geometry import Geometry


@pytest.mark.parametrize("size", [(32, 32, 5), (64, 64, 9), (128, 96, 17)])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_formula_counts_what_torch_counts(
    engine: Engine, tiny: Callable[..., Request], size: tuple[int, int, int], guidance: float
) -> None:
    geometry = measure.geometry(engine.parts)
    take = tiny(width=size[0], height=size[1], frames=size[2], guidance=guidance, guidance_2=guidance).take
    shape = geometry.shape(take)

    def counted(work: Callable[[], object]) -> int:
        # torch counts the attention only where it is written out in matrix products.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            work()
        return int(counter.get_total_flops())

    engine.text.clear()
    text = counted(lambda: engine.prepare(take))
    assert flops.text(geometry, shape.passes) == pytest.approx(text, rel=0.02)
    # What was made with those products differs in the last bit, and others share this engine.
    engine.text.clear()
    state = engine.prepare(take)
    firsts = counted(lambda: engine.step(state))
    assert flops.step(geometry, shape) + flops.project(geometry, shape.passes) == pytest.approx(firsts, rel=0.02)
    assert flops.step(geometry, shape) == pytest.approx(counted(lambda: engine.step(state)), rel=0.02)
    decoding = engine.begin_decode(state.latents)
    first = counted(lambda: engine.decode(decoding))
    assert flops.decode(geometry, shape, first=True) == pytest.approx(first, rel=0.02)
    # The second latent frame finds no frame before it in the convolutions over time; from the third on all are alike.
    engine.decode(decoding)
    if not decoding.done:
        assert flops.decode(geometry, shape) == pytest.approx(counted(lambda: engine.decode(decoding)), rel=0.02)


def test_the_work_of_the_real_model_is_in_the_denoiser(tiny: Callable[..., Request]) -> None:
    """Wan2.2-T2V-A14B at 480p, from its published configuration: text is under a hundredth of a forward pass."""
    transformer = {
        "num_attention_heads": 40,
        "attention_head_dim": 128,
        "ffn_dim": 13824,
        "num_layers": 40,
        "in_channels": 16,
        "patch_size": [1, 2, 2],
    }
    vae = {
        "base_dim": 96,
        "decoder_base_dim": None,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "temperal_downsample": [False, True, True],
        "out_channels": 3,
        "scale_factor_spatial": 8,
        "scale_factor_temporal": 4,
    }
    text = {"d_model": 4096, "num_heads": 64, "d_kv": 64, "d_ff": 10240, "num_layers": 24}
    geometry = Geometry.of(transformer, vae, text, window=512)
    shape = geometry.shape(tiny(width=832, height=480, frames=81, steps=40).take)
    assert geometry.tokens(shape) == 32760
    work = {
        stage: sum(kind.work * kind.steps for kind in kinds) for stage, kinds in flops.stages(geometry, shape).items()
    }
    assert work[Stage.DENOISE] > 0.9 * sum(work[stage] for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE))
    assert work[Stage.TEXT] < 0.01 * work[Stage.DENOISE] / shape.steps
