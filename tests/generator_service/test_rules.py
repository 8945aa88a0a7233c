"""Rules that depend on the tier."""

from __future__ import annotations

import dataclasses

import pytest

from generator_service import rules
from generator_service.engine import Engine
from reelgate.rpc.errors import InvalidFieldError


def test_a_tier_of_larger_pieces_refuses_sizes_that_others_take(engine: Engine) -> None:
    coarse = Engine(dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update={"multiple": 32})))
    wanted = rules.Wanted(tenant="local", prompt="a red ball", width=48, height=32, frames=5)
    assert rules.resolve(wanted, {"embedded": engine}, "embedded").take.width == 48
    with pytest.raises(InvalidFieldError, match="multiple of 32"):
        rules.resolve(wanted, {"embedded": coarse}, "embedded")
