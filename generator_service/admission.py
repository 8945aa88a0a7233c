"""May this request run here and now? Asked before it is stored, so that what cannot end well costs nothing.

In this order: memory, the deadline, the tier's breaker. No torch, no thread of its own; belongs to the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from generator_service.breaker import Breaker, State
from generator_service.core import Outcome, Report, Request, Stage, Take
from generator_service.estimate import Estimate, Estimator
from generator_service.geometry import Geometry
from generator_service.memory import Fit, Memory, Rung

GENERATION_FAILED = "GENERATION_FAILED"


class TooLargeError(Exception):
    """No rung of this device holds the request."""

    def __init__(self, fit: Fit) -> None:
        super().__init__(f"{fit.predicted} bytes are needed, {fit.available} are there")
        self.fit = fit


class DeadlineError(Exception):
    """``seconds`` until the video would be there, ``left`` until it must be."""

    def __init__(self, seconds: float, left: float) -> None:
        super().__init__(f"the video takes {seconds:.1f} s from now, the deadline is in {left:.1f} s")
        self.seconds = seconds
        self.left = left


class Admission:
    """``geometries`` of the loaded tiers; ``missing`` says how many texts of a take would have to be encoded now, None for all. ``clock``
    is monotonic, in seconds."""

    def __init__(
        self,
        geometries: Mapping[str, Geometry],
        memory: Memory,
        estimator: Estimator,
        *,
        breaker: Callable[[str], Breaker] = Breaker,
        missing: Callable[[Take], int | None] = lambda take: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._geometries = geometries
        self._memory = memory
        self._clock, self._missing = clock, missing
        self._expected: dict[str, float | None] = {}
        self.estimator = estimator
        self.breakers = {tier: breaker(tier) for tier in geometries}

    def check(self, request: Request, *, left: float | None, forecast: Callable[[float], float]) -> Rung:
        """The rung on which ``request`` may begin. ``left`` are the seconds until its caller's deadline; ``forecast`` turns
        its own seconds of device time into those until its end.

        Raises `TooLargeError`, `DeadlineError`, `breaker.BreakerOpenError`. The breaker comes last, since it takes note of
        whom it lets through as its probe.
        """
        take = request.take
        rung = self.fits(take)
        own = self.seconds(take)
        if left is not None and own is not None and (seconds := forecast(own)) > left:
            raise DeadlineError(seconds, left)
        self.breakers[take.tier].admit(request.name, self._clock())
        return rung

    def fits(self, take: Take) -> Rung:
        """Raises `TooLargeError`."""
        fit = self._memory.fit(self._geometries[take.tier], take)
        if fit.rung is None:
            raise TooLargeError(fit)
        return fit.rung

    def fit(self, take: Take) -> Fit:
        """Peak bytes, and what is there."""
        return self._memory.fit(self._geometries[take.tier], take)

    def seconds(self, take: Take) -> float | None:
        """Median of the whole device time of ``take``, as things are now; None before the tier was measured."""
        estimate = self.estimate(take)
        return None if estimate is None else estimate.p50

    def estimate(self, take: Take, *, denoised: bool = False) -> Estimate | None:
        """``denoised``: the take's latents are there, and only they are decoded and encoded."""
        geometry = self._geometries[take.tier]
        done = frozenset({Stage.TEXT, Stage.DENOISE}) if denoised else frozenset[Stage]()
        texts = self._missing(take)
        return self.estimator.estimate(take.tier, geometry, geometry.shape(take), texts=texts, done=done)

    def expect(self, request: Request) -> None:
        """``request`` is put in line: what it takes is compared with what is predicted now, since what the run leaves behind makes
        another cheaper."""
        self._expected[request.name] = self._predicted(request.take)

    def _predicted(self, take: Take) -> float | None:
        geometry = self._geometries[take.tier]
        return self.estimator.seconds(take.tier, geometry, geometry.shape(take), texts=self._missing(take))

    def ended(self, request: Request, report: Report | None) -> None:
        """Tells the breaker and the estimator how a run ended; None where the service stopped under it."""
        take, predicted = request.take, self._expected.pop(request.name, None)
        breaker = self.breakers[take.tier]
        if report is not None and report.outcome is Outcome.DONE:
            breaker.succeeded()
            self._learn(take, report, predicted)
        elif report is not None and report.failure is not None and report.failure.reason == GENERATION_FAILED:
            breaker.failed(request.name, self._clock())
        else:
            breaker.left(request.name)

    def open_tiers(self) -> frozenset[str]:
        """Tiers whose breaker lets nobody through."""
        now = self._clock()
        return frozenset(tier for tier, each in self.breakers.items() if each.state(now) is State.OPEN)

    def _learn(self, take: Take, report: Report, predicted: float | None) -> None:
        """Only from runs that made everything themselves."""
        whole = {Stage.TEXT, Stage.DENOISE, Stage.DECODE, Stage.ENCODE} <= set(report.device_ms)
        if not whole or report.denoise_steps != take.steps:
            return
        if predicted is None:
            predicted = self._predicted(take)
        if predicted is not None:
            self.estimator.run(take.tier, predicted, sum(report.device_ms.values()) / 1000)
