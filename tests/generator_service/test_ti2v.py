"""TI2V-5B's layout, small and with random weights: one expert, a residual VAE of 16 x 16 x 4, a noise level for each token."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from generator_service import flops, measure, wan
from generator_service.allocations import Allocations
from generator_service.core import Request, Stage
from generator_service.engine import Engine
from generator_service.memory import predict
from generator_service.models import wan22
from tests.generator_service.trained import latents, relative


@pytest.fixture(scope="module")
def engine_5b(components: wan.Components) -> Engine:
    return engine_of(components, 16)


def engine_of(components: wan.Components, base: int) -> Engine:
    """``base``: the width of the VAE."""
    torch.manual_seed(3)
    small = {"base_dim": 16, "decoder_base_dim": base, "z_dim": 16, "num_res_blocks": 1}
    moments = {"latents_mean": [0.0] * 16, "latents_std": [1.0] * 16}
    vae = AutoencoderKLWan(**(wan22.VAE_5B | small | moments)).eval().requires_grad_(False)
    tier = components.tier.model_copy(update={"multiple": 32})
    parts = dataclasses.replace(components, vae=vae, transformer_2=None, boundary_ratio=None, tier=tier)
    return Engine(parts)


def take_of(tiny: Callable[..., Request], **changes: Any) -> Any:
    return tiny(**({"width": 64, "height": 96, "frames": 13, "guidance": 5.0, "guidance_2": 5.0} | changes)).take


def pipeline(engine: Engine, take: Any, output_type: str) -> Any:
    parts = engine.parts
    made = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=parts.vae,
        transformer=parts.transformer,
        scheduler=parts.scheduler.from_config(parts.scheduler.config),
        expand_timesteps=True,
    )
    made.set_progress_bar_config(disable=True)
    state = engine.prepare(take)
    assert state.negative is not None
    return made(
        prompt_embeds=state.prompt.padded(),
        negative_prompt_embeds=state.negative.padded(),
        latents=state.latents,
        width=take.width,
        height=take.height,
        num_frames=take.frames,
        num_inference_steps=take.steps,
        guidance_scale=take.guidance,
        output_type=output_type,
    ).frames


def test_one_noise_level_for_all_tokens_is_what_the_pipelines_many_equal_ones_are(
    engine_5b: Engine, tiny: Callable[..., Request]
) -> None:
    take = take_of(tiny)
    assert engine_5b.prepare(take).latents.shape == (1, 16, 4, 6, 4)
    assert relative(latents(engine_5b, take), pipeline(engine_5b, take, "latent")) < 1e-5


def test_its_vae_decodes_frame_by_frame_to_the_pipelines_pictures(
    engine_5b: Engine, tiny: Callable[..., Request]
) -> None:
    take = take_of(tiny)
    decoding, pieces = engine_5b.begin_decode(latents(engine_5b, take)), []
    while not decoding.done:
        pieces.append(engine_5b.decode(decoding))
    made = np.concatenate(pieces)
    whole = (pipeline(engine_5b, take, "np")[0] * 255).round().astype(np.uint8)
    assert made.shape == (13, 96, 64, 3)
    assert np.abs(made.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 96), (192, 160)])
@pytest.mark.parametrize("base", [16, 32])
def test_operations_and_memory_of_its_decoder_are_counted(
    components: wan.Components, tiny: Callable[..., Request], width: int, height: int, base: int
) -> None:
    engine_5b = engine_of(components, base)
    geometry, take = measure.geometry(engine_5b.parts), take_of(tiny, width=width, height=height, frames=17)
    shape = geometry.shape(take)
    state = engine_5b.begin_decode(torch.randn(1, 16, shape.frames, shape.height, shape.width))
    count = Allocations()
    with count:
        engine_5b.decode(state)
        engine_5b.decode(state)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            engine_5b.decode(state)
        engine_5b.decode(state)
    assert flops.decode(geometry, shape) == pytest.approx(counter.get_total_flops(), rel=0.02)
    light = dataclasses.replace(geometry, weights=0, expert=0)
    need = predict(light, shape)
    kept = sum(each.nbytes for each in state.memory if isinstance(each, torch.Tensor))
    assert need.map == kept
    assert count.peak <= need.stage(Stage.DECODE) - need.kept <= 1.5 * count.peak, (count.peak, need)
