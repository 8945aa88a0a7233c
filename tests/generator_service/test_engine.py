"""The engine against diffusers' own pipeline: the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanPipeline
from transformers import AutoTokenizer

from generator_service import wan
from generator_service.core import Request, Take
from generator_service.engine import Denoising, Engine
from generator_service.text import PromptTooLongError

Tiny = Callable[..., Request]


@pytest.fixture(scope="module")
def oracle(components: wan.Components, model_folder: Path) -> WanPipeline:
    pipeline = WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(model_folder / "tokenizer"),
        text_encoder=components.text_encoder,
        vae=components.vae,
        scheduler=components.scheduler.from_config(components.scheduler.config),
        transformer=components.transformer,
        transformer_2=components.transformer_2,
        boundary_ratio=components.boundary_ratio,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def by_pipeline(oracle: WanPipeline, take: Take, output_type: str = "latent") -> Any:
    """The prompts must be ones that the pipeline's own cleaning leaves alone: the engine never cleans."""
    return oracle(
        prompt=take.prompt,
        negative_prompt=take.negative_prompt,
        width=take.width,
        height=take.height,
        num_frames=take.frames,
        num_inference_steps=take.steps,
        guidance_scale=take.guidance,
        guidance_scale_2=take.guidance_2,
        generator=torch.Generator("cpu").manual_seed(take.seed),
        max_sequence_length=512,
        output_type=output_type,
    ).frames


def denoise(engine: Engine, take: Take) -> Denoising:
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    return state


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 123456789, "prompt": "一个红色的圆形在草地上向左移动"},
        {"steps": 1},
        {"steps": 12, "guidance": 6.5, "guidance_2": 1.0},
        {"guidance": 1.0, "guidance_2": 1.0},
        {"guidance": 1.0, "guidance_2": 3.0},
        {"negative_prompt": ""},
        {"width": 48, "height": 32, "frames": 9},
        {"frames": 1},
    ],
    ids=str,
)
def test_latents_are_bit_equal_to_the_pipeline(
    tiny: Tiny, engine: Engine, oracle: WanPipeline, changes: dict[str, Any]
) -> None:
    take = tiny(**changes).take
    assert torch.equal(denoise(engine, take).latents, by_pipeline(oracle, take))


@pytest.mark.parametrize("boundary", [0.0, 0.5, 1.0], ids=["all high noise", "crossing", "all low noise"])
def test_bits_hold_at_other_boundaries(
    tiny: Tiny, components: wan.Components, oracle: WanPipeline, boundary: float
) -> None:
    take = tiny().take
    oracle.register_to_config(boundary_ratio=boundary)
    try:
        expected = by_pipeline(oracle, take)
    finally:
        oracle.register_to_config(boundary_ratio=components.boundary_ratio)
    engine = Engine(dataclasses.replace(components, boundary_ratio=boundary))
    assert torch.equal(denoise(engine, take).latents, expected)


def test_both_experts_took_part(tiny: Tiny, components: wan.Components) -> None:
    seen: list[str] = []
    assert components.transformer_2 is not None
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in (("high", components.transformer), ("low", components.transformer_2))
    ]
    denoise(Engine(components), tiny().take)
    for hook in hooks:
        hook.remove()
    assert seen == ["high"] * 4 + ["low"] * 4


def test_two_requests_may_take_turns_without_touching_each_other(tiny: Tiny, engine: Engine) -> None:
    first, second = tiny(seed=1).take, tiny(seed=2, steps=6, width=48).take
    alone = [denoise(engine, take).latents for take in (first, second)]
    turns = [engine.prepare(first), engine.prepare(second)]
    while not all(state.done for state in turns):
        for state in turns:
            if not state.done:
                engine.step(state)
    assert all(torch.equal(state.latents, latents) for state, latents in zip(turns, alone, strict=True))


def with_settings(components: wan.Components, **changes: Any) -> Engine:
    """Another engine over the same weights."""
    return Engine(dataclasses.replace(components, tier=components.tier.model_copy(update=changes)))


@pytest.mark.parametrize("changes", [{}, {"guidance": 1.0}, {"guidance_2": 1.0}], ids=str)
@pytest.mark.parametrize("settings", [{"text_kv": False}, {"text_kv_mib": 0}, {"text_kv_mib": 3}], ids=str)
def test_text_made_once_or_at_every_step_gives_the_same_bits(
    tiny: Tiny, components: wan.Components, engine: Engine, changes: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Over both experts, two requests in turns; a bound of 3 MiB holds one prompt for one expert and evicts all the time."""
    takes = [tiny(steps=8, **changes).take, tiny(steps=8, prompt="a blue ring stays still", seed=8, **changes).take]
    other = with_settings(components, **settings)
    turns = [other.prepare(take) for take in takes]
    while not all(state.done for state in turns):
        for state in turns:
            other.step(state)
    kept = [denoise(engine, take).latents for take in takes]
    assert all(torch.equal(state.latents, latents) for state, latents in zip(turns, kept, strict=True))
    assert engine.text.kvs.counts.reused > 0
    assert other.text.kvs.counts.reused == 0
    assert (other.text.kvs.counts.evicted > 0) is (settings == {"text_kv_mib": 3})


def test_folded_text_follows_the_pipeline_up_to_rounding(
    tiny: Tiny, components: wan.Components, oracle: WanPipeline
) -> None:
    take = tiny(steps=8).take
    folded, expected = denoise(with_settings(components, fold_text=True), take).latents, by_pipeline(oracle, take)
    assert 0 < (folded - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_decoding_by_latent_frame_equals_decoding_the_whole(tiny: Tiny, engine: Engine, oracle: WanPipeline) -> None:
    take = tiny(frames=9).take
    state, other = (engine.begin_decode(denoise(engine, t).latents) for t in (take, tiny(seed=3, frames=9).take))
    pictures = []
    while not state.done:
        pictures.append(torch.from_numpy(engine.decode(state)))
        engine.decode(other)
    whole = by_pipeline(oracle, take, "pt")[0].permute(0, 2, 3, 1).mul(255.0).round().to(torch.uint8)
    assert [len(piece) for piece in pictures] == [1, 4, 4]
    assert torch.equal(torch.cat(pictures), whole)


def test_a_prompt_over_the_window_is_never_cut(tiny: Tiny, engine: Engine) -> None:
    with pytest.raises(PromptTooLongError) as caught:
        engine.prepare(tiny(prompt="circle " * 600).take)
    assert (caught.value.tokens, caught.value.window) == (601, 512)
