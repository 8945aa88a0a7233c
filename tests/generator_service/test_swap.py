"""A text encoder that lives in the host's memory and comes to the device for each new text."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from generator_service import fits, measure, swap, wan
from generator_service import tier as tiers
from generator_service.conditioning import Conditioner
from generator_service.core import Request, Stage
from generator_service.memory import predict
from generator_service.text import PromptTooLongError
from generator_service.tuning import NotHereError, check

Tiny = Callable[..., Request]
CPU = torch.device("cpu")


@pytest.fixture
def visiting(components: wan.Components) -> wan.Components:
    """As `wan.load` makes it for a GPU, with the device in the host's memory too: what comes is a copy all the same."""
    tier = components.tier.model_copy(update={"text_encoder": "swap"})
    parts = dataclasses.replace(components, tier=tier, text_encoder=copy.deepcopy(components.text_encoder))
    swap.Swap([parts.text_encoder], CPU)
    return parts


def test_the_encoder_comes_for_a_new_text_and_goes_after_it(
    visiting: wan.Components, components: wan.Components
) -> None:
    text, found = Conditioner(visiting), swap.of(visiting.text_encoder)
    assert found is not None
    kept, seen = weights_at(visiting), []
    visiting.text_encoder.register_forward_hook(lambda *_: seen.append((found.here, weights_at(visiting))))
    states = text.encode("a red ball")
    assert seen[0][0] is visiting.text_encoder
    assert seen[0][1].isdisjoint(kept)
    assert (found.here, weights_at(visiting)) == (None, kept)
    assert text.encode("a red ball") is states
    text.encode("a blue ring")
    assert found.swaps == len(seen) == 2
    assert torch.equal(states.real, Conditioner(components).encode("a red ball").real)


def test_it_goes_too_when_the_text_is_refused(visiting: wan.Components) -> None:
    kept = weights_at(visiting)
    with pytest.raises(PromptTooLongError):
        Conditioner(visiting).encode("ball " * 600)
    assert weights_at(visiting) == kept


def test_its_weights_are_counted_in_the_texts_stage_alone(visiting: wan.Components, components: wan.Components) -> None:
    away, here = measure.geometry(visiting), measure.geometry(components)
    size = sum(each.nbytes for each in (*visiting.text_encoder.parameters(), *visiting.text_encoder.buffers()))
    assert away.visiting == size > 0
    assert here.weights - away.weights == size
    full = tiers.load(tiers.FOLDER / "full.yaml", "model")
    needs = {}
    for where in ("device", "host", "swap"):
        geometry = fits.of(full.model_copy(update={"text_encoder": where}))
        needs[where] = predict(geometry, geometry.shape(fits.take_of(full, fits.SIZES[1])))
    assert needs["swap"].stage(Stage.TEXT) == needs["device"].stage(Stage.TEXT)
    assert needs["swap"].stage(Stage.DENOISE) == needs["host"].stage(Stage.DENOISE)
    assert needs["swap"].peak() < needs["device"].peak()


@pytest.mark.parametrize(("where", "same"), [("swap", True), ("host", False)])
def test_one_that_visits_makes_the_bits_of_one_that_stays(components: wan.Components, where: str, same: bool) -> None:
    def name(**settings: Any) -> str:
        tier = components.tier.model_copy(update=settings)
        return wan.execution(components.weights, tier, 0.9, components.scheduler, CPU)

    assert (name(text_encoder=where) == name()) is same


def test_a_cpu_has_nothing_to_swap(components: wan.Components) -> None:
    with pytest.raises(NotHereError, match="a CPU has it already"):
        check(components.tier.model_copy(update={"text_encoder": "swap"}), CPU)


def weights_at(parts: wan.Components) -> set[int]:
    return {each.data_ptr() for each in parts.text_encoder.parameters()}
