"""Notices steps that cannot be right: far too slow, or pictures of nothing. Pure logic; the clock is the caller's."""

from __future__ import annotations

import threading
from typing import Any

from generator_service import ladder


class StuckError(Exception):
    """A step took far longer than was predicted."""


class DeviceLostError(Exception):
    """The device is gone, or one of those that make a step together: nothing can be stepped in this process any more."""


class ConstantError(ArithmeticError):
    """Every latent has the same value: whatever follows is not a video."""


class Watchdog:
    """``factor`` times the prediction is too long, and never less than ``least`` seconds: a busy machine is no fault."""

    def __init__(self, *, factor: float = 20.0, least: float = 60.0, unknown: float = 1800.0) -> None:
        if factor <= 1.0 or least <= 0.0 or unknown <= 0.0:
            raise ValueError("a step must be given more than its predicted time")
        self._factor = factor
        self._least = least
        self._unknown = unknown
        self._lock = threading.Lock()
        self._begun: tuple[float, float] | None = None

    def allowed(self, predicted: float | None) -> float:
        """Seconds that a step may take; ``unknown`` where nothing is predicted."""
        return self._unknown if predicted is None else max(self._least, self._factor * predicted)

    def begin(self, now: float, predicted: float | None) -> None:
        """A step begins."""
        with self._lock:
            self._begun = now, self.allowed(predicted)

    def end(self, now: float) -> None:
        """The step is made. Raises `StuckError` when it took too long."""
        with self._lock:
            begun, self._begun = self._begun, None
        if begun is not None and now - begun[0] > begun[1]:
            raise StuckError(f"{now - begun[0]:.1f} s, allowed were {begun[1]:.1f} s")

    def drop(self) -> None:
        """The step ended otherwise."""
        with self._lock:
            self._begun = None

    def stuck(self, now: float) -> bool:
        """Whether a step is under way that should long have been made: the thread may never come back."""
        with self._lock:
            return self._begun is not None and now - self._begun[0] > self._begun[1]


def device_lost(error: BaseException) -> bool:
    """Whether only a new process can go on after ``error``: the group broke, or the context on the GPU did. By name, so that nobody
    imports torch to ask."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"DeviceLostError", "AcceleratorError"}) and not ladder.out_of_memory(error)


def check_latents(latents: Any) -> None:
    """Final latents (a tensor). Raises `ConstantError`; NaN and infinity are the engine's to notice, at every step."""
    if latents.numel() > 1 and bool(latents.amax() == latents.amin()):
        raise ConstantError("the latents are constant")
