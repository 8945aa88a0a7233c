"""Predicted peaks against measured ones, on random weights in the embedded model's layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from hypothesis import given
from hypothesis import strategies as st

from generator_service import measure, tiling
from generator_service.allocations import Allocations
from generator_service.core import Request, Rung, Stage, Take
from generator_service.engine import Engine
from generator_service.geometry import Geometry
from generator_service.memory import Correction, Memory, overlap, predict, tile_share

Tiny = Callable[..., Request]
SHAPES = [(32, 32, 5, 4.0), (64, 64, 9, 4.0), (64, 64, 9, 1.0), (128, 96, 17, 4.0), (192, 128, 9, 4.0)]


def geometry_of(engine: Engine, **more: int) -> Geometry:
    return dataclasses.replace(measure.geometry(engine.parts), **{"weights": 0, "expert": 0, **more})


@pytest.fixture(scope="module")
def geometry(engine: Engine) -> Geometry:
    return geometry_of(engine)


def measured(engine: Engine, take: Take) -> dict[Any, int]:
    """Peak bytes of tensors in each stage, weights aside."""
    engine.text.clear()
    count, found = Allocations(), {}
    with count:
        state = engine.prepare(take)
        found[Stage.TEXT] = count.peak
        count.start()
        for _ in range(3):
            engine.step(state)
        found[Stage.DENOISE] = count.peak
        for name, module in ((Stage.DECODE, engine), ("tiled", tiling)):
            count.start()
            decoding: Any = (
                module.begin_decode(state.latents) if name != "tiled" else tiling.begin(engine, state.latents)
            )
            while not decoding.done:
                _ = engine.decode(decoding) if name != "tiled" else tiling.decode(engine, decoding)
            del decoding
            found[name] = count.peak
    return found


@pytest.mark.parametrize(("width", "height", "frames", "guidance"), SHAPES)
def test_every_stages_peak_is_predicted_and_by_at_most_half_too_high(
    engine: Engine, geometry: Geometry, tiny: Tiny, width: int, height: int, frames: int, guidance: float
) -> None:
    take = tiny(width=width, height=height, frames=frames, guidance=guidance, guidance_2=guidance).take
    need, found = predict(geometry, geometry.shape(take)), measured(engine, take)
    predicted = {
        **{stage: need.stage(stage) for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE)},
        "tiled": need.stage(Stage.DECODE, Rung.TILED),
    }
    for stage, bytes_ in predicted.items():
        assert found[stage] <= bytes_ <= 1.5 * found[stage], (stage, bytes_ / found[stage])


@pytest.mark.parametrize(
    ("side", "settings"),
    [(32, {}), (64, {}), (64, {"text_kv": False}), (32, {"text_kv_mib": 8}), (64, {"batch_tokens": 200})],
    ids=str,
)
def test_a_step_that_eight_share_is_predicted_too(
    engine: Engine, tiny: Tiny, settings: dict[str, Any], side: int
) -> None:
    """Beside what the others hold between their steps."""
    tier = engine.tier.model_copy(update={"batch": True, **settings})
    shared = Engine(dataclasses.replace(engine.parts, tier=tier))
    takes = [
        tiny(width=side, height=side, frames=9, seed=seed, prompt=f"a circle {seed}", negative_prompt=f"{seed}").take
        for seed in range(8)
    ]
    geometry, count = geometry_of(shared), Allocations()
    need = predict(geometry, geometry.shape(takes[0]))
    with count:
        states = [shared.prepare(take) for take in takes]
        count.start()
        for _ in range(4):
            assert shared.step_many(states) == [None] * 8
    assert count.peak <= need.stage(Stage.DENOISE) + 7 * need.held <= 1.5 * count.peak


@pytest.mark.parametrize("feed_forward", [128, 768])
def test_a_step_of_another_feed_forward_is_predicted_too(engine: Engine, tiny: Tiny, feed_forward: int) -> None:
    config = {k: v for k, v in engine.parts.transformer.config.items() if not k.startswith("_")}
    high, low = (
        WanTransformer3DModel(**{**config, "ffn_dim": feed_forward}).eval().requires_grad_(False) for _ in range(2)
    )
    changed = Engine(dataclasses.replace(engine.parts, transformer=high, transformer_2=low))
    take = tiny(width=192, height=128, frames=9).take
    need = predict(geometry_of(changed), geometry_of(changed).shape(take)).stage(Stage.DENOISE)
    found = measured(changed, take)[Stage.DENOISE]
    assert found <= need <= 1.5 * found


def test_the_feature_map_is_predicted_to_the_byte(engine: Engine, geometry: Geometry, tiny: Tiny) -> None:
    take = tiny(width=64, height=48, frames=13).take
    state = engine.begin_decode(torch.zeros(1, 16, 4, 6, 8))
    while not state.done:
        engine.decode(state)
    kept = sum(each.numel() * each.element_size() for each in state.memory if isinstance(each, torch.Tensor))
    assert predict(geometry, geometry.shape(take)).map == kept


def test_counting_sees_every_tensor_once_and_forgets_the_freed() -> None:
    count = Allocations(held=100)
    with count:
        first = torch.zeros(10)
        view = first.view(2, 5)
        second = view + 1
        assert count.live == 100 + 80
        del second
    assert (count.live, count.peak) == (140, 180)
    del first, view
    assert count.live == 100


def test_a_device_that_is_full_refuses_as_a_gpu_does() -> None:
    with Allocations(limit=64), pytest.raises(torch.OutOfMemoryError):
        torch.zeros(17)


def test_a_request_fits_on_the_highest_rung_that_holds_it(geometry: Geometry, tiny: Tiny) -> None:
    take = tiny(width=256, height=256, frames=17).take
    need = predict(geometry, geometry.shape(take))
    assert need.peak(Rung.TILED) < need.peak()
    sizes = {need.peak(): Rung.PLAIN, need.peak() - 1: Rung.TILED, need.peak(Rung.TILED) - 1: None}
    for available, rung in sizes.items():
        fit = Memory(available, (Rung.PLAIN, Rung.TILED)).fit(geometry, take)
        assert (fit.rung, fit.available) == (rung, available)
    assert fit.predicted == need.peak(Rung.TILED)


def test_offloading_lowers_what_the_weights_take(engine: Engine, tiny: Tiny) -> None:
    geometry = geometry_of(engine, weights=3_000_000, expert=1_000_000)
    need = predict(geometry, geometry.shape(tiny().take))
    plain, offloaded, grouped = (need.peak(rung) for rung in (Rung.TILED, Rung.EXPERT_OFFLOADED, Rung.GROUPS_OFFLOADED))
    assert plain - offloaded == 1_000_000
    assert offloaded > grouped
    on_cpu = Memory(plain - 1, (Rung.PLAIN, Rung.TILED, Rung.ALONE))
    assert on_cpu.fit(geometry, tiny().take).rung is None
    assert Memory(plain - 1).fit(geometry, tiny().take).rung is Rung.EXPERT_OFFLOADED


@pytest.mark.parametrize(
    ("may_offload", "gone", "rung"),
    [("group", 1_500_000, Rung.GROUPS_OFFLOADED), ("expert", 1_000_000, None), ("none", 0, None)],
)
def test_what_cannot_leave_the_device_is_not_taken_off_the_prediction(
    engine: Engine, tiny: Tiny, may_offload: str, gone: int, rung: Rung | None
) -> None:
    sizes = geometry_of(engine, weights=3_000_000, expert=1_000_000)
    geometry = dataclasses.replace(sizes, may_offload=may_offload)
    need = Memory(1).need(geometry, tiny().take)
    assert need.weights - need.fixed(Rung.ALONE) == gone
    below = Memory(1).need(sizes, tiny().take).peak(Rung.EXPERT_OFFLOADED) - 1
    assert Memory(below).fit(geometry, tiny().take).rung is rung


def test_the_correction_covers_what_was_measured_and_never_undercuts_on_little_evidence() -> None:
    correction = Correction()
    assert correction.factor == 1.0
    correction.observe(100, 50)
    assert correction.factor == 1.0
    for measured_ in range(60, 80):
        correction.observe(100, measured_)
    assert 0.78 <= correction.factor <= 0.8
    for _ in range(128):
        correction.observe(100, 130)
    assert correction.factor == 1.3


@given(st.integers(2, 200))
def test_two_tiles_cover_a_side_and_overlap_by_what_is_said(length: int) -> None:
    size = (length + overlap(length)) / 2
    assert size == int(size)
    assert 0.5 <= tile_share(length) <= 1.0
    assert 2 * size - length == overlap(length) <= 9
