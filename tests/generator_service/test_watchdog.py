"""Steps that cannot be right."""

from __future__ import annotations

import pytest
import torch

from generator_service.watchdog import ConstantError, StuckError, Watchdog, check_latents


def test_a_step_may_take_many_times_its_prediction_and_no_more() -> None:
    watchdog = Watchdog(factor=10.0, least=1.0)
    watchdog.begin(100.0, 2.0)
    assert not watchdog.stuck(120.0)
    assert watchdog.stuck(120.1)
    watchdog.end(120.0)
    watchdog.begin(200.0, 2.0)
    with pytest.raises(StuckError):
        watchdog.end(220.1)


def test_short_steps_are_given_the_least_and_unknown_ones_a_long_time() -> None:
    watchdog = Watchdog(factor=10.0, least=60.0, unknown=900.0)
    assert watchdog.allowed(0.001) == 60.0
    assert watchdog.allowed(None) == 900.0


def test_nothing_is_stuck_between_the_steps() -> None:
    watchdog = Watchdog(least=1.0)
    assert not watchdog.stuck(1e9)
    watchdog.begin(0.0, 0.1)
    watchdog.drop()
    assert not watchdog.stuck(1e9)
    watchdog.end(1e9)


@pytest.mark.parametrize("bad", [{"factor": 1.0}, {"least": 0.0}, {"unknown": 0.0}])
def test_a_watchdog_without_patience_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="more than its predicted time"):
        Watchdog(**bad)


def test_constant_latents_are_no_video() -> None:
    check_latents(torch.tensor([0.0, 1e-6]))
    with pytest.raises(ConstantError):
        check_latents(torch.zeros(1, 16, 2, 4, 4))
