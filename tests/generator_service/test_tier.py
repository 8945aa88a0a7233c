"""Tier files are checked when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator_service import tier as tiers
from generator_service.settings import Settings

GOOD = """
tier: small
model: here
width: {default: 32, max: 64}
height: {default: 32, max: 64}
frames: {default: 5, max: 9}
steps: {default: 4, max: 8}
fps: 8
guidance: 4.0
guidance_2: 3.0
"""


def test_the_official_settings_of_a14b() -> None:
    full = tiers.load(tiers.FOLDER / "full.yaml")
    assert (full.steps.default, full.flow_shift, full.boundary_ratio) == (40, 12.0, 0.875)
    assert (full.guidance, full.guidance_2, full.fps, full.frames.default) == (4.0, 3.0, 16, 81)
    assert full.max_sequence_length == 512
    assert full.negative_prompt.startswith("色调艳丽，过曝")
    assert full.negative_prompt.endswith("倒着走")
    assert full.model == ""


def test_the_embedded_tier_finds_its_folder_beside_the_file() -> None:
    assert Path(tiers.load(tiers.FOLDER / "embedded.yaml").model).name == "embedded"


def test_a_model_from_outside_stands_instead_of_the_files_own(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    assert tiers.load(tmp_path / "small.yaml").model == "here"
    (tmp_path / "here").mkdir()
    assert tiers.load(tmp_path / "small.yaml").model == str(tmp_path / "here")
    assert tiers.load(tmp_path / "small.yaml", "Wan-AI/some").model == "Wan-AI/some"


def test_a_model_that_can_be_nowhere_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD.replace("here", "../nowhere"))
    with pytest.raises(ValueError, match=r"tier small: model '\.\./nowhere' is no folder that is here") as refused:
        Settings(tier_folder=tmp_path).tiers()
    assert "seen from the tier's file" in str(refused.value)
    for place in ("Wan-AI/Some-Model.v2", str(tmp_path)):
        (tmp_path / "small.yaml").write_text(GOOD.replace("here", place))
        assert Settings(tier_folder=tmp_path).tiers()["small"].model == place


def test_a_wrong_file_says_its_settings_and_nothing_of_pydantic(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(f"{GOOD}parallel: {{processes: 3, method: guidance}}\nsteps: nine\n")
    with pytest.raises(ValueError, match=r"small\.yaml: steps: Input should be") as refused:
        tiers.load(tmp_path / "small.yaml")
    (tmp_path / "small.yaml").write_text(f"{GOOD}parallel: {{processes: 3, method: guidance}}\n")
    with pytest.raises(ValueError, match="two halves, and 3 processes have none") as halves:
        tiers.load(tmp_path / "small.yaml")
    said = f"{refused.value} {halves.value}"
    assert all(word not in said for word in ("pydantic", "validation error", "Value error"))


def test_no_tier_batches_unless_its_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    (tmp_path / "shared.yaml").write_text(f"{GOOD}batch: true\n")
    found = [tiers.load(tmp_path / name) for name in ("small.yaml", "shared.yaml")]
    shipped = [tiers.load(path) for path in tiers.FOLDER.glob("*.yaml")]
    assert [tier.batch for tier in found] == [False, True]
    assert found[1].batch_tokens == 4000
    assert not any(tier.batch for tier in shipped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("guidance: 4.0", "guidance: .nan"),
        ("guidance: 4.0", "guidence: 4.0"),
        ("{default: 5, max: 9}", "{default: 6, max: 9}"),
        ("{default: 5, max: 9}", "{default: 13, max: 9}"),
        ("width: {default: 32", "width: {default: 40"),
        ("tier: small", "tier: ../etc"),
        ("tier: small", "tier: [small"),
        ("tier: small", "dtype: int8"),
        ("fps: 8", "fps: 8\ntext_kv: false\nfold_text: true"),
        ("fps: 8", "fps: 8\ntext_kv_mib: -1"),
        ("fps: 8", "fps: 8\nbatch: true\nbatch_tokens: 0"),
        ("fps: 8", "fps: 8\nbatch: true\nbatch_requests: 1"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "wrong.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(ValueError, match=r"wrong\.yaml"):
        tiers.load(tmp_path / "wrong.yaml")


def test_every_shipped_tier_is_valid_and_official() -> None:
    shipped = tiers.folder(tiers.FOLDER)
    assert set(shipped) == {"embedded", "full", "fast", "draft"}
    fast, draft = shipped["fast"], shipped["draft"]
    assert (fast.steps.default, fast.guidance, fast.guidance_2, fast.boundary_ratio) == (4, 1.0, 1.0, 0.875)
    assert fast.lora != fast.lora_2
    assert fast.lora.endswith("high_noise_model.safetensors")
    assert (draft.steps.default, draft.guidance, draft.flow_shift, draft.fps, draft.multiple) == (50, 5.0, 5.0, 24, 32)
    assert fast.negative_prompt == draft.negative_prompt == shipped["full"].negative_prompt
    assert not any(shipped[name].model for name in ("full", "fast", "draft"))


def test_all_settings_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(f"{GOOD}step_cache: {{kind: taylorseer, interval: 3}}\nrevision: abc\n")
    told = tiers.load(tmp_path / "small.yaml").settings()
    assert told["quantisation"] == "none"
    assert told["guidance_interval"] == "[0.0, 1.0]"
    assert told["revision"] == "abc"
    assert "interval: 3" in told["step_cache"]
    assert told["compile"] == "false"
    # Each field of a tier is told here, or in a field of its own of the contract.
    assert set(told) == set(tiers.Tier.model_fields) - tiers.ELSEWHERE


def test_a_folder_of_tiers_holds_one_of_each_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    assert set(tiers.folder(tmp_path)) == {"small"}
    (tmp_path / "b.yaml").write_text(GOOD)
    with pytest.raises(ValueError, match=r"b\.yaml: another file here has a tier named small"):
        tiers.folder(tmp_path)
    with pytest.raises(ValueError, match="no folder of tiers"):
        tiers.folder(tmp_path / "nowhere")


def test_a_folder_of_ones_own_adds_tiers_and_stands_instead_of_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "small.yaml").write_text(GOOD)
    (tmp_path / "full.yaml").write_text(GOOD.replace("tier: small", "tier: full"))
    monkeypatch.setenv("REELGATE_GENERATOR_TIERS", str(tmp_path))
    assert set(Settings().tiers()) == {"embedded", "small", "full"}
    assert Settings().tiers()["full"].fps == 8
    monkeypatch.delenv("REELGATE_GENERATOR_TIERS")
    monkeypatch.setenv("REELGATE_GENERATOR_FAST_MODEL", "some/model")
    assert {name: each.model for name, each in Settings().tiers().items() if name != "embedded"} == {
        "fast": "some/model"
    }


def test_where_experts_change_places_those_that_need_the_one_that_is_there_go_first(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(f"{GOOD}offload: expert\n")
    small = tiers.load(tmp_path / "small.yaml")
    assert Settings().limits().group == 0
    assert Settings().limits([small]).group == 60
    assert Settings(expert_group_seconds=5).limits([small]).group == 5
