"""Guidance where it matters: in an interval of noise levels (Kynkaanniemi et al. 2024), its direction kept over a few steps.

Guidance adds ``scale - 1`` times the direction from the unconditional to the conditional prediction. The direction changes slowly, so
one made a step or two ago is nearly as good, and a step that reuses it needs one pass instead of two. Both are approximations:
off unless a tier's file says otherwise.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from generator_service.tier import Tier


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """Conditional less unconditional prediction, and the expert (0 or 1) that made them: the other's would be another."""

    expert: int
    towards: Tensor


def here(tier: Tier, t: Tensor, levels: int) -> bool:
    """Whether there is guidance at timestep ``t`` of ``levels``."""
    low, high = tier.guidance_interval
    return (low, high) == (0.0, 1.0) or low <= float(t) / levels <= high


def fresh(tier: Tier, index: int, kept: Direction | None, expert: int) -> bool:
    """Whether step ``index`` makes the direction anew. Always where ``index`` is a multiple of ``guidance_every``, so that a take
    which is taken up there needs nothing of the steps before."""
    return kept is None or kept.expert != expert or index % tier.guidance_every == 0


def combine(away: Tensor, velocity: Tensor, scale: float) -> Tensor:
    """In fp32, whatever the predictions are: their difference is small beside them, and is multiplied."""
    away, velocity = away.float(), velocity.float()
    return away + scale * (velocity - away)


def along(velocity: Tensor, direction: Direction, scale: float) -> Tensor:
    """`combine` with a direction of an earlier step."""
    return velocity.float() + (scale - 1.0) * direction.towards
