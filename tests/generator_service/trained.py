"""The trained embedded model under other settings: random weights say little about what an approximation costs."""

from __future__ import annotations

from torch import Tensor

from generator_service import tier as tiers
from generator_service.core import Take
from generator_service.engine import Engine

EMBEDDED = tiers.FOLDER.parent / "models" / "embedded"


def latents(engine: Engine, take: Take) -> Tensor:
    """The final latents of ``take``."""
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    return state.latents


def relative(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference as a share of the norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
