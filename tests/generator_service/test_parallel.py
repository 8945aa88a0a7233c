"""What cannot be shared by several processes is refused with its reason; `tests/test_gpu_benchmark.py` shares what can."""

from __future__ import annotations

import dataclasses

import pytest

from generator_service import parallel
from generator_service.engine import Engine
from generator_service.tier import StepCache


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offload": "expert"}, "hook the blocks"),
        ({"step_cache": StepCache(kind="first_block")}, "hook the blocks"),
        ({"compile": True}, "breaks it"),
        ({"attention": "auto"}, "name native or cudnn"),
    ],
    ids=str,
)
def test_a_tier_that_cannot_be_shared_says_why(engine: Engine, changes: dict[str, object], reason: str) -> None:
    parts = dataclasses.replace(engine.parts, tier=engine.tier.model_copy(update=changes))
    with pytest.raises(ValueError, match=reason):
        parallel.share(parts, 2)
    assert not parallel.conflict(engine.tier)


def test_heads_and_tokens_fall_into_equal_shares_or_are_refused(engine: Engine) -> None:
    with pytest.raises(parallel.NotDivisibleError, match="4 heads cannot be shared by 3"):
        parallel.share(engine.parts, 3)
    parallel.check(32760, 8)
    with pytest.raises(parallel.NotDivisibleError, match="32760 latent tokens"):
        parallel.check(32760, 16)
