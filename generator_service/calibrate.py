"""Measures MagCache's ratios on a model: how much each step's residual is of the one before, for each expert of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from generator_service import step_cache
from generator_service.core import Take
from generator_service.engine import Engine
from generator_service.tier import StepCache

# Any step cache gives each request a name for the hooks; which one is on is decided here.
NAMED = StepCache(kind="first_block")


def ratios(engine: Engine, takes: Sequence[Take]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For the experts of high and of low noise a ratio for each of their steps, the mean over ``takes``, which must have one schedule.

    The engine is left as it was. Raises ``ValueError`` where it has a step cache already, or its blocks are compiled.
    """
    if engine.tier.step_cache is not None or engine.tier.compile:
        raise ValueError("ratios are measured on a tier without step_cache and without compile")
    named = engine.tier.model_copy(update={"step_cache": NAMED})
    measuring = Engine(dataclasses.replace(engine.parts, tier=named))
    for expert in measuring.experts:
        step_cache.measure(expert)
    try:
        found = [_of(measuring, take) for take in takes]
    finally:
        for expert in measuring.experts:
            expert.disable_cache()
    high, low = (torch.tensor([each[i] for each in found]).mean(dim=0).tolist() for i in (0, 1))
    return tuple(high), tuple(low)


def _of(engine: Engine, take: Take) -> tuple[tuple[float, ...], tuple[float, ...]]:
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    if state.ticket is None:
        raise ValueError("the take has no name for the hooks")
    each = [step_cache.ratios(expert, state.ticket, "prompt") for expert in engine.experts]
    return each[0], each[1] if len(each) > 1 else ()
