"""Rules that depend on the tier."""

from __future__ import annotations

import dataclasses

import pytest

from generator_service import rules
from generator_service.engine import Engine
from generator_service.tier import Bound, Parallel
from reelgate.rpc.errors import InvalidFieldError


def test_a_tier_of_larger_pieces_refuses_sizes_that_others_take(engine: Engine) -> None:
    coarse = Engine(dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update={"multiple": 32})))
    wanted = rules.Wanted(tenant="local", prompt="a red ball", width=48, height=32, frames=5)
    assert rules.resolve(wanted, {"embedded": engine}, "embedded").take.width == 48
    with pytest.raises(InvalidFieldError, match="multiple of 32"):
        rules.resolve(wanted, {"embedded": coarse}, "embedded")


@pytest.mark.parametrize(("most", "hint"), [(13, "13 frames are"), (9, "choose another width or height")])
def test_who_asks_for_what_cannot_be_shared_is_told_of_a_video_that_the_tier_makes(
    engine: Engine, most: int, hint: str
) -> None:
    """Three latent frames of one token are no equal shares for two."""
    changes = {"parallel": Parallel(processes=2), "frames": Bound(default=5, max=most)}
    shared = Engine(dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update=changes)))
    wanted = rules.Wanted(tenant="local", prompt="a red ball", width=16, height=16, frames=9)
    with pytest.raises(InvalidFieldError, match=hint):
        rules.resolve(wanted, {"embedded": shared}, "embedded")
