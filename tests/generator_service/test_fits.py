"""What fits which card: weights counted to the byte, and the choice that a card leads to."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from generator_service import fits, precision
from generator_service import tier as tiers
from generator_service.core import Rung
from generator_service.models import blueprint, wan22

FULL = tiers.load(tiers.FOLDER / "full.yaml")
DRAFT = tiers.load(tiers.FOLDER / "draft.yaml")


def held(part: nn.Module, dtype: torch.dtype) -> int:
    """Bytes, with what diffusers keeps in fp32 in fp32 and the rest in ``dtype``."""
    kept = WanTransformer3DModel._keep_in_fp32_modules
    sizes = [
        each.numel() * (4 if any(word in name.split(".") for word in kept) else dtype.itemsize)
        for name, each in (*part.named_parameters(), *part.named_buffers())
    ]
    return sum(sizes)


@pytest.mark.parametrize("config", [wan22.TRANSFORMER, wan22.TRANSFORMER_5B], ids=["A14B", "5B"])
def test_an_experts_bytes_are_counted_as_it_has_them(config: dict[str, object]) -> None:
    with torch.device("meta"):
        expert = WanTransformer3DModel(**config)
    assert fits.expert_bytes(config, 2, "none") == held(expert, torch.bfloat16)
    assert fits.expert_bytes(config, 4, "none") == held(expert, torch.float32)


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_a_rounded_experts_too(kind: str) -> None:
    expert = blueprint.build_transformer()
    config = dict(expert.config)
    precision.quantise(expert, kind)
    assert fits.expert_bytes(config, 4, kind) == sum(each.nbytes for each in (*expert.parameters(), *expert.buffers()))


def test_the_other_parts_numbers_are_those_of_their_configurations() -> None:
    with torch.device("meta"):
        vaes = [AutoencoderKLWan(**config) for config in (wan22.VAE, wan22.VAE_5B)]
        encoder = UMT5EncoderModel(UMT5Config(**wan22.UMT5))
    counts = [sum(each.numel() for each in part.parameters()) for part in (*vaes, encoder)]
    assert counts == [wan22.VAE_PARAMETERS, wan22.VAE_5B_PARAMETERS, wan22.UMT5_PARAMETERS]


def test_a_smaller_card_is_never_given_a_way_that_needs_more() -> None:
    for tier, sizes in ((FULL, fits.SIZES), (DRAFT, fits.SIZES_5B)):
        for size in sizes:
            found = [choice for choice in fits.choices(tier, (size,)) if choice.rung is not None]
            assert found
            assert all(choice.predicted <= choice.card * fits.GB for choice in found)
            needed = [choice.predicted for choice in found]
            assert needed == sorted(needed)


def test_tiles_and_single_blocks_are_for_cards_where_nothing_else_fits() -> None:
    for choice in fits.choices(FULL, fits.SIZES):
        if choice.rung is not Rung.PLAIN or choice.settings.get("offload") == "group":
            ways = [fits._with(FULL, choice.card, choice.size, way) for way in fits.WAYS]
            plain = [way for way in ways if way.rung is Rung.PLAIN]
            assert all(way.settings["offload"] == "group" for way in plain)


def test_the_largest_card_runs_the_official_settings_untouched() -> None:
    (*_, last) = fits.choices(FULL, fits.SIZES)
    assert (last.card, last.settings, last.rung) == (141, {}, Rung.PLAIN)


def test_offloading_takes_the_idle_expert_off_the_prediction() -> None:
    plain, swapped = (fits.of(FULL.model_copy(update={"offload": each})) for each in ("none", "expert"))
    take = fits.take_of(FULL, fits.SIZES[0])
    from generator_service.memory import predict

    needs = [predict(each, each.shape(take)).peak() for each in (plain, swapped)]
    assert needs[0] - needs[1] == plain.expert
