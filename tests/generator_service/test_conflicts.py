"""Settings that do not go together are refused when the file is read, with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from generator_service import tier as tiers
from generator_service import tuning, wan
from tests.generator_service.test_tier import GOOD

SIXTEEN = "fps: 8\ndtype: bfloat16\n"


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ("attention: cudnn", "needs float16 or bfloat16"),
        ("attention: sage", "needs float16 or bfloat16"),
        ("dtype: float16\nquantisation: fp8", "use dtype bfloat16"),
        ("dtype: bfloat16\nfold_text: true\ncross_attention: flash3", "takes an additive mask"),
        ("compile: true\noffload: group", "hooks of offload group would break it"),
        ("compile: true\nstep_cache: {kind: first_block}", "step_cache's hooks would break it"),
        ("compile: true\nbatch: true", "passes of many"),
        ("lora_2: low.safetensors", "both experts"),
        ("guidance_interval: [0.5, 0.5]", "low < high"),
        ("guidance_interval: [0.5, 1.5]", "low < high"),
        ("batch: true\nstep_cache: {kind: first_block}", "carries state of one video"),
        ("batch: true\nguidance_every: 2", "carries state of one video"),
        ("guidance_every: 2\nstep_cache: {kind: taylorseer}", "counts the passes of each text"),
        ("step_cache: {kind: mag}", "reelgate calibrate"),
        (
            "step_cache: {kind: mag, ratios: [1.0, 1.0], ratios_2: [1.0]}",
            "a ratio for each of the tier's 4 steps, not 3",
        ),
        ("offload: group\nstep_cache: {kind: taylorseer}", "both hook the blocks"),
        ("lora_scale: 2", "scales nothing"),
        ("step_cache: {kind: first_block, ratios: [1.0]}", "reads no ratios"),
        ("step_cache: {kind: first_block, interval: 3}", "it is taylorseer's"),
        ("step_cache: {kind: taylorseer, threshold: 0.1}", "goes by interval"),
        ("multiple: 64", "multiples of 64"),
        ("multiple: 24", "multiple of 16"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_reason(tmp_path: Path, added: str, reason: str) -> None:
    (tmp_path / "small.yaml").write_text(GOOD.replace("fps: 8", f"fps: 8\n{added}"))
    with pytest.raises(ValueError, match=r"small\.yaml") as refused:
        tiers.load(tmp_path / "small.yaml")
    assert reason in str(refused.value)


@pytest.mark.parametrize("added", ["compile: true\noffload: expert", "text_kv: false\ncross_attention: cudnn"])
def test_what_goes_together_is_taken(tmp_path: Path, added: str) -> None:
    (tmp_path / "small.yaml").write_text(GOOD.replace("fps: 8", f"{SIXTEEN}{added}"))
    assert tiers.load(tmp_path / "small.yaml").tier


def test_guidance_that_is_off_cannot_be_thinned_out(tmp_path: Path) -> None:
    off = GOOD.replace("guidance: 4.0", "guidance: 1.0")
    (tmp_path / "off.yaml").write_text(f"{off}guidance_every: 2\n")
    with pytest.raises(ValueError, match="guidance is off"):
        tiers.load(tmp_path / "off.yaml")


def test_guidance_that_is_off_is_off_for_both_experts(tmp_path: Path) -> None:
    (tmp_path / "off.yaml").write_text(GOOD.replace("guidance: 4.0", "guidance: 1.0"))
    with pytest.raises(ValueError, match="guidance_2 must be 1 too"):
        tiers.load(tmp_path / "off.yaml")


@pytest.fixture
def one_expert(tier: tiers.Tier, tmp_path: Path) -> tiers.Tier:
    shutil.copytree(tier.model, tmp_path / "one", ignore=shutil.ignore_patterns("transformer_2"))
    (tmp_path / "one" / "model_index.json").write_text("{}")
    return tier.model_copy(update={"model": str(tmp_path / "one")})


def test_a_model_of_one_expert_is_loaded(one_expert: tiers.Tier) -> None:
    assert wan.load_experts(one_expert, torch.device("cpu")).transformer_2 is None


@pytest.mark.parametrize(
    ("experts", "settings", "reason"),
    [
        (2, {"lora": "high.safetensors"}, "lora without lora_2"),
        (1, {"lora": "one.safetensors", "lora_2": "low.safetensors"}, "lora_2 is for"),
        (1, {"offload": "expert"}, "takes turns between two"),
        (1, {"boundary_ratio": 0.9}, "divides the noise levels"),
        (1, {"step_cache": tiers.StepCache(kind="mag", ratios=(1.0,), ratios_2=(1.0,))}, "ratios_2"),
    ],
)
def test_what_two_experts_need_and_one_does_not_is_refused_when_the_model_is_loaded(
    tier: tiers.Tier, one_expert: tiers.Tier, experts: int, settings: dict[str, object], reason: str
) -> None:
    asked = (tier if experts == 2 else one_expert).model_copy(update=settings)
    with pytest.raises(ValueError, match=f"tier {asked.tier}: .*{reason}"):
        wan.load_experts(asked, torch.device("cpu"))


def test_what_a_device_cannot_have_is_refused_before_anything_is_read(tier: tiers.Tier) -> None:
    cpu = torch.device("cpu")
    tuning.check(tier, cpu)
    with pytest.raises(tuning.NotHereError, match="host's memory"):
        tuning.check(tier.model_copy(update={"offload": "expert"}), cpu)
