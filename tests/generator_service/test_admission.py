"""Who is refused before anything is stored, and what the ends of runs teach."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from generator_service import flops
from generator_service.admission import Admission, DeadlineError, TooLargeError
from generator_service.breaker import BreakerOpenError
from generator_service.core import Failure, Outcome, Report, Request, Reuse, Stage
from generator_service.estimate import Estimator
from generator_service.memory import Memory, Rung, predict
from tests.generator_service.geometries import SMALL

Tiny = Callable[..., Request]
FAILED = Report(
    outcome=Outcome.FAILED,
    failure=Failure(reason="GENERATION_FAILED", stage=Stage.DENOISE, cause="the latents are not finite"),
)
STORE = Report(outcome=Outcome.FAILED, failure=Failure(reason="STORE_UNAVAILABLE", stage=Stage.STORE, cause="gone"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admission(available: int = 1 << 30, clock: Clock | None = None) -> Admission:
    memory = Memory(available, (Rung.PLAIN, Rung.TILED, Rung.ALONE))
    return Admission({"embedded": SMALL}, memory, Estimator(), clock=clock or Clock())


def teach(admission_: Admission, request: Request) -> None:
    for stage, kinds in flops.stages(SMALL, SMALL.shape(request.take)).items():
        for kind in kinds:
            admission_.estimator.step("embedded", stage, kind, kind.work / 1e9)


def same(seconds: float) -> float:
    return seconds


def test_a_shape_that_no_rung_holds_is_refused_with_both_figures(tiny: Tiny) -> None:
    request = tiny(width=256, height=256, frames=17)
    need = predict(SMALL, SMALL.shape(request.take))
    assert admission(need.peak(Rung.TILED)).check(request, left=None, forecast=same) is Rung.TILED
    with pytest.raises(TooLargeError) as caught:
        admission(need.peak(Rung.ALONE) - 1).check(request, left=None, forecast=same)
    assert (caught.value.fit.predicted, caught.value.fit.available) == (
        need.peak(Rung.ALONE),
        need.peak(Rung.ALONE) - 1,
    )


def test_a_deadline_that_cannot_be_met_is_refused_with_the_estimate(tiny: Tiny) -> None:
    known, request = admission(), tiny()
    teach(known, request)
    seconds = known.seconds(request.take)
    assert seconds is not None
    known.check(request, left=seconds + 0.1, forecast=same)
    known.check(request, left=None, forecast=same)
    with pytest.raises(DeadlineError) as caught:
        known.check(request, left=seconds + 0.1, forecast=lambda own: own + 5.0)
    assert caught.value.seconds == pytest.approx(seconds + 5.0)


def test_nobody_is_refused_for_a_deadline_before_the_tier_was_measured(tiny: Tiny) -> None:
    assert admission().check(tiny(), left=0.001, forecast=same) is Rung.PLAIN


def test_a_tier_that_fails_again_and_again_rests_and_a_probe_brings_it_back(tiny: Tiny) -> None:
    clock = Clock()
    tired = admission(clock=clock)
    for seed in range(3):
        tired.check(tiny(seed=seed), left=None, forecast=same)
        tired.ended(tiny(seed=seed), FAILED)
    assert tired.open_tiers() == {"embedded"}
    with pytest.raises(BreakerOpenError):
        tired.check(tiny(seed=9), left=None, forecast=same)
    clock.now = 31.0
    tired.check(tiny(seed=9), left=None, forecast=same)
    tired.ended(tiny(seed=9), Report(outcome=Outcome.DONE))
    assert tired.open_tiers() == frozenset()


def test_what_is_not_the_tiers_fault_opens_nothing(tiny: Tiny) -> None:
    fine = admission()
    for report in (STORE, Report(outcome=Outcome.CANCELLED), None) * 5:
        fine.ended(tiny(), report)
    assert fine.open_tiers() == frozenset()


def test_a_refused_request_is_not_taken_for_the_probe(tiny: Tiny) -> None:
    clock = Clock()
    tired = admission(clock=clock)
    teach(tired, tiny())
    for _ in range(3):
        tired.ended(tiny(), FAILED)
    clock.now = 31.0
    with pytest.raises(DeadlineError):
        tired.check(tiny(), left=0.0, forecast=same)
    tired.check(tiny(), left=None, forecast=same)


def test_only_runs_that_made_everything_teach_the_quantiles(tiny: Tiny) -> None:
    learner, request = admission(), tiny()
    teach(learner, request)
    before = learner.estimate(request.take)
    device_ms = dict.fromkeys((Stage.TEXT, Stage.DENOISE, Stage.DECODE, Stage.ENCODE), 60_000)
    reused = Report(outcome=Outcome.DONE, reuse=Reuse.LATENTS, device_ms={Stage.DECODE: 60_000}, decode_steps=2)
    for _ in range(10):
        learner.ended(request, reused)
    assert learner.estimate(request.take) == before
    for _ in range(10):
        learner.ended(request, Report(outcome=Outcome.DONE, denoise_steps=4, decode_steps=2, device_ms=device_ms))
    after = learner.estimate(request.take)
    assert after is not None
    assert after.p50 == pytest.approx(240.0)
