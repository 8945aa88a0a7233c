"""Device time from shapes and measured rates."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest

from generator_service import fits, flops, measure, wan
from generator_service import tier as tiers
from generator_service.core import Request, Stage
from generator_service.engine import Engine
from generator_service.estimate import UNKNOWN_P95, Estimator, Spread
from generator_service.memory import predict
from generator_service.tier import Parallel
from tests.generator_service.geometries import SMALL


def taught(seconds_of: Callable[[float], float], *takes: Request) -> Estimator:
    estimator = Estimator()
    for request in takes:
        for stage, kinds in flops.stages(SMALL, SMALL.shape(request.take)).items():
            for kind in kinds:
                estimator.step("embedded", stage, kind, seconds_of(kind.work))
    return estimator


def test_there_is_no_estimate_before_every_stage_was_seen(tiny: Callable[..., Request]) -> None:
    shape = SMALL.shape(tiny().take)
    assert Estimator().estimate("embedded", SMALL, shape) is None
    estimator = taught(lambda work: work / 1e9, tiny())
    assert estimator.estimate("embedded", SMALL, shape) is not None
    assert estimator.estimate("other", SMALL, shape) is None


def test_a_shape_that_was_never_made_is_predicted_from_two_that_were(tiny: Callable[..., Request]) -> None:
    estimator = taught(lambda work: 0.01 + work / 1e9, tiny(), tiny(width=128, height=128, frames=9))
    new = SMALL.shape(tiny(width=96, height=64, frames=17, steps=20).take)
    expected = sum((0.01 + k.work / 1e9) * k.steps for kinds in flops.stages(SMALL, new).values() for k in kinds)
    assert estimator.seconds("embedded", SMALL, new) == pytest.approx(expected, rel=0.03)


def test_guidance_off_halves_the_denoising_and_what_is_stored_costs_nothing(tiny: Callable[..., Request]) -> None:
    estimator = taught(lambda work: work / 1e9, tiny())
    guided, free = (SMALL.shape(tiny(guidance=scale).take) for scale in (4.0, 1.0))
    rest = frozenset({Stage.DECODE, Stage.ENCODE})
    both = [estimator.seconds("embedded", SMALL, shape, done=rest) for shape in (guided, free)]
    assert both[0] == pytest.approx(2 * both[1])
    assert estimator.seconds("embedded", SMALL, free, done=rest | {Stage.TEXT, Stage.DENOISE}) == 0.0


def test_the_quantiles_are_those_of_the_runs(tiny: Callable[..., Request]) -> None:
    estimator = taught(lambda work: work / 1e9, tiny())
    shape = SMALL.shape(tiny().take)
    predicted = estimator.seconds("embedded", SMALL, shape)
    assert predicted is not None
    first = estimator.estimate("embedded", SMALL, shape)
    assert first is not None
    assert first.p95 == pytest.approx(UNKNOWN_P95 * first.p50)
    for percent in range(100):
        estimator.run("embedded", predicted, predicted * (1.0 + percent / 100))
    later = estimator.estimate("embedded", SMALL, shape)
    assert later is not None
    assert later.p50 == pytest.approx(1.5 * predicted, rel=0.02)
    assert later.p95 == pytest.approx(1.95 * predicted, rel=0.02)
    assert estimator.error("embedded") == pytest.approx(0.5, abs=0.02)
    assert estimator.rate("embedded", Stage.DENOISE) > 0


def test_a_text_that_is_known_is_not_counted(tiny: Callable[..., Request]) -> None:
    kept = dataclasses.replace(SMALL, text_kept=1 << 20)
    shape, estimator = kept.shape(tiny().take), taught(lambda work: work / 1e9, tiny())
    found = [estimator.seconds("embedded", kept, shape, texts=texts) for texts in (0, 1, 2)]
    assert None not in found
    every = flops.text(kept, 1) + kept.experts * flops.project(kept, 1)
    assert [found[1] - found[0], found[2] - found[1]] == pytest.approx([every / 1e9] * 2, rel=0.01)  # type: ignore[operator]
    assert flops.project(SMALL, 1) == 0.0


def test_first_steps_and_steps_of_one_pass_have_lines_of_their_own(tiny: Callable[..., Request]) -> None:
    estimator, request = Estimator(), tiny()
    for stage, kinds in flops.stages(SMALL, SMALL.shape(request.take)).items():
        for kind in kinds:
            estimator.step("embedded", stage, kind, 5.0 if kind.first else 1.0)
    first, rest = flops.stages(SMALL, SMALL.shape(request.take))[Stage.DENOISE]
    assert estimator.of_step("embedded", Stage.DENOISE, first) == 5.0
    assert estimator.of_step("embedded", Stage.DENOISE, rest) == 1.0
    alone = rest._replace(passes=1)
    assert estimator.of_step("embedded", Stage.DENOISE, alone) == 1.0
    estimator.step("embedded", Stage.DENOISE, alone, 0.3)
    assert estimator.of_step("embedded", Stage.DENOISE, alone) == 0.3


def test_a_spread_forgets_what_was_long_ago() -> None:
    spread = Spread()
    for _ in range(8):
        spread.observe(1.0, 10.0)
    for _ in range(Spread.KEPT):
        spread.observe(1.0, 1.1)
    assert spread.quantiles(1.0) == pytest.approx((1.1, 1.1))


def test_runs_of_another_size_say_nothing_where_there_are_enough_of_the_same() -> None:
    spread = Spread()
    for _ in range(Spread.NEAR):
        spread.observe(0.1, 0.2)
        spread.observe(100.0, 101.0)
    assert spread.quantiles(0.12) == pytest.approx((2.0, 2.0))
    assert spread.quantiles(80.0) == pytest.approx((1.01, 1.01))


@pytest.mark.parametrize("name", ["full", "fast"])
def test_what_is_measured_on_a_gpu_at_the_start_says_what_its_videos_take(name: str) -> None:
    """A card that needs 40 ms to call a step's kernels, within a twentieth, and else does 450 TFLOP a second."""
    tier = tiers.load(tiers.FOLDER / f"{name}.yaml", "model")
    sizes, chance, estimator = fits.of(tier), random.Random(0), Estimator()

    def seconds(work: float) -> float:
        return max(0.04 * chance.uniform(0.95, 1.05), work / 450e12)

    for size in measure.sizes_for(tier, "cuda"):
        for kind in flops.stages(sizes, sizes.shape(fits.take_of(tier, size)))[Stage.DENOISE]:
            for _ in range(2):
                estimator.step(name, Stage.DENOISE, kind, seconds(kind.work))
    for size in fits.SIZES:
        kind = flops.stages(sizes, sizes.shape(fits.take_of(tier, size)))[Stage.DENOISE][-1]
        assert estimator.of_step(name, Stage.DENOISE, kind) == pytest.approx(kind.work / 450e12, rel=0.1)


def test_a_small_model_is_measured_at_its_own_sizes_on_any_device() -> None:
    small = tiers.load(tiers.FOLDER / "embedded.yaml")
    draft = tiers.load(tiers.FOLDER / "draft.yaml", "model")
    assert measure.sizes_for(small, "cuda") == measure.sizes_for(small, "cpu") == measure.SIZES
    assert measure.sizes_for(draft, "cuda") == measure.SIZES_ON_GPU
    assert all(side % draft.multiple == 0 for width, height, _ in measure.SIZES_ON_GPU for side in (width, height))


def test_processes_that_share_steps_try_nothing_that_may_find_no_memory(
    components: wan.Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others could not go on. A tier of one process tries, and goes without."""
    tried: list[measure.Size] = []
    monkeypatch.setattr(measure, "_measure", lambda *given: tried.append(given[-1]))
    sizes = measure.geometry(components)
    first, second = (predict(sizes, sizes.shape(fits.take_of(components.tier, size))).peak() for size in measure.SIZES)
    assert first < second
    for parallel, expected in ((None, 2), (Parallel(processes=2), 1)):
        tier = components.tier.model_copy(update={"parallel": parallel})
        measure.steps(Engine(dataclasses.replace(components, tier=tier)), sizes, Estimator(), room=second - 1)
        assert tried == list(measure.SIZES[:expected])
        tried.clear()
