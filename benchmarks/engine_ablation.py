"""Are all five fields of UniPC needed in a snapshot? Each is left out in turn, at every step at which a run may stop."""

from __future__ import annotations

import dataclasses

import torch

from benchmarks.engine_kills import tiny
from benchmarks.report import Goal
from generator_service.engine import Engine
from generator_service.snapshot import Frozen

FIELDS = ("model_outputs", "last_sample", "lower_order_nums", "this_order", "step_index")
STEPS = 8


def _latents(engine: Engine, frozen: Frozen) -> torch.Tensor | None:
    """None when it cannot go on at all."""
    state = engine.thaw(tiny(5, steps=STEPS).take, frozen)
    try:
        while not state.done:
            engine.step(state)
    except (AttributeError, TypeError, IndexError, ArithmeticError):
        return None
    return state.latents


def rows(engine: Engine) -> list[Goal]:
    state = engine.prepare(tiny(5, steps=STEPS).take)
    snapshots = [engine.freeze(state)]
    while not state.done:
        engine.step(state)
        snapshots.append(engine.freeze(state))
    right = state.latents
    equal = 0
    for frozen in snapshots:
        latents = _latents(engine, frozen)
        equal += latents is not None and torch.equal(latents, right)
    goals = [Goal(name="resume: stops of 9 that end in the same bits", value=equal, compare="==", target=STEPS + 1)]
    for field in FIELDS:
        differ = 0
        for frozen in snapshots[1:STEPS]:
            latents = _latents(engine, dataclasses.replace(frozen, **{field: getattr(snapshots[0], field)}))
            differ += latents is None or not torch.equal(latents, right)
        goals.append(Goal(name=f"without {field}: stops of 7 that differ", value=differ, compare=">=", target=1))
    return goals
