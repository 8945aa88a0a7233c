"""Loading, and the names of what decides bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from generator_service import wan
from generator_service.tier import StepCache, Tier
from generator_service.tuning import Tuned


def test_the_embedded_layout_loads_as_a14b_does(components: wan.Components) -> None:
    assert components.transformer_2 is not None
    assert components.boundary_ratio == 0.875
    assert not components.transformer.training
    assert next(components.vae.parameters()).dtype is torch.float32


def test_the_fingerprint_follows_the_content_and_nothing_else(model_folder: Path, tmp_path: Path) -> None:
    first = wan.fingerprint(model_folder)
    copy = shutil.copytree(model_folder, tmp_path / "model")
    (copy / "README.md").write_text("a model card")
    assert wan.fingerprint(copy) == first
    found = {first}
    for part in ("transformer_2/diffusion_pytorch_model.safetensors", "tokenizer/spiece.model", "model_index.json"):
        (copy / part).write_bytes((copy / part).read_bytes() + b" ")
        found.add(wan.fingerprint(copy))
    assert len(found) == 4


def test_states_of_a_prompt_are_named_by_encoder_and_tokenizer_alone(model_folder: Path, tmp_path: Path) -> None:
    first = wan.encoder_fingerprint(model_folder)
    copy = shutil.copytree(model_folder, tmp_path / "model")
    found = []
    for part in (
        "transformer/config.json",
        "model_index.json",
        "text_encoder/model.safetensors",
        "tokenizer/spiece.model",
    ):
        (copy / part).write_bytes((copy / part).read_bytes() + b" ")
        found.append(wan.encoder_fingerprint(copy))
    assert found[0] == found[1] == first
    assert len({first, *found}) == 3


def test_settings_that_change_bits_change_the_execution(components: wan.Components, tier: Tier) -> None:
    def named(**changes: object) -> str:
        changed = tier.model_copy(update=changes)
        boundary = changed.boundary_ratio or components.boundary_ratio
        return wan.execution(components.weights, changed, boundary, components.scheduler, components.device)

    assert named() == components.execution
    assert named(guidance=9.0) == components.execution
    assert named(text_kv=False) == named(text_kv_mib=1) == components.execution
    # A compiled block that makes keys and values itself makes other ones.
    assert named(compile=True, text_kv=False) != named(compile=True)
    assert named(batch_tokens=1, batch_requests=2) == components.execution
    changed = {
        "dtype": "bfloat16",
        "vae_dtype": "bfloat16",
        "quantisation": "fp8",
        "boundary_ratio": 0.5,
        "max_sequence_length": 256,
        "fold_text": True,
        "batch": True,
        "fuse_qkv": True,
        "compile": True,
        "text_encoder": "host",
        "guidance_interval": (0.1, 0.9),
        "guidance_every": 2,
        "step_cache": StepCache(kind="first_block"),
    }
    assert len({named(), *(named(**{key: value}) for key, value in changed.items())}) == len(changed) + 1
    assert named(offload="expert") == named(revision="x") == components.execution


def test_kernels_that_were_chosen_change_the_execution(components: wan.Components, tier: Tier) -> None:
    tuned = [
        Tuned(),
        Tuned(attention="cudnn"),
        Tuned(cross_attention="cudnn"),
        Tuned(facts={"attention_tried": "1 ms"}),
    ]
    found = [
        wan.execution(
            components.weights, tier, components.boundary_ratio, components.scheduler, components.device, each
        )
        for each in tuned
    ]
    assert found[0] == found[3] == components.execution
    assert len(set(found)) == 3


def test_the_tiers_shift_stands_instead_of_the_models(tier: Tier) -> None:
    shifted = wan.load(tier.model_copy(update={"flow_shift": 12.0}), torch.device("cpu"))
    assert shifted.scheduler.config["flow_shift"] == 12.0


@pytest.mark.parametrize("model", ["/nowhere/at/all", "nowhere", "a/b/c"])
def test_a_model_that_is_nowhere_is_refused_before_the_network_is_asked(model: str) -> None:
    with pytest.raises(FileNotFoundError):
        wan.resolve(model)


def test_a_revision_pins_what_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(model: str, revision: str | None) -> str:
        asked.append((model, revision))
        return str(tmp_path)

    monkeypatch.setattr(wan, "snapshot_download", download)
    assert wan.resolve("owner/name", "1a2b") == wan.resolve("owner/name") == tmp_path
    assert asked == [("owner/name", "1a2b"), ("owner/name", None)]
