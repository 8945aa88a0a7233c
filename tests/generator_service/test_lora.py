"""A LoRA is merged whole or not at all, whoever's names its layers have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor

from generator_service import lora, wan
from generator_service.core import Request
from generator_service.engine import Engine
from generator_service.models import blueprint
from generator_service.tier import Tier
from tests.generator_service.trained import latents, relative

CPU = torch.device("cpu")
RANK = 4
LAYERS = {
    "blocks.0.attn1.to_q": ("blocks.0.self_attn.q", 128, 128),
    "blocks.1.attn2.to_out.0": ("blocks.1.cross_attn.o", 128, 128),
    "blocks.2.ffn.net.0.proj": ("blocks.2.ffn.0", 384, 128),
    "blocks.3.ffn.net.2": ("blocks.3.ffn.2", 128, 384),
}


def factors(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return {
        ours: (
            0.1 * torch.randn(outputs, RANK, generator=generator),
            0.1 * torch.randn(RANK, inputs, generator=generator),
        )
        for ours, (_, outputs, inputs) in LAYERS.items()
    }


def written(path: Path, seed: int = 0, style: str = "diffusers") -> Path:
    found = {}
    for ours, (up, down) in factors(seed).items():
        if style == "diffusers":
            found |= {f"transformer.{ours}.lora_A.weight": down, f"transformer.{ours}.lora_B.weight": up}
        else:
            stem = f"diffusion_model.{LAYERS[ours][0]}"
            found |= {
                f"{stem}.lora_down.weight": down,
                f"{stem}.lora_up.weight": up,
                f"{stem}.alpha": torch.tensor(2.0),
            }
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, path)
    return path


@pytest.mark.parametrize(("style", "share"), [("diffusers", 1.0), ("kohya", 2.0 / RANK)])
def test_the_update_is_added_to_the_weights_and_nothing_else_changes(tmp_path: Path, style: str, share: float) -> None:
    expert = blueprint.build_transformer()
    before = {name: each.clone() for name, each in expert.state_dict().items()}
    assert lora.merge(expert, written(tmp_path / "few.safetensors", style=style), 0.5) == len(LAYERS)
    update = factors(0)
    for name, after in expert.state_dict().items():
        up_down = update.get(name.removesuffix(".weight"))
        expected = before[name] if up_down is None else before[name] + 0.5 * share * (up_down[0] @ up_down[1])
        assert torch.allclose(after, expected, atol=1e-7)


def test_it_gives_what_peft_layers_would(tmp_path: Path) -> None:
    """W x + scale * B (A x), computed beside the layer."""
    expert = blueprint.build_transformer()
    layer, x = expert.blocks[0].attn1.to_q, torch.randn(5, 128)
    up, down = factors(0)["blocks.0.attn1.to_q"]
    beside = layer(x) + x @ down.t() @ up.t()
    lora.merge(expert, written(tmp_path / "few.safetensors"))
    assert torch.allclose(layer(x), beside, atol=1e-5)


@pytest.mark.parametrize("fault", ["half", "foreign layer", "foreign shape", "foreign tensor", "empty"])
def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path, fault: str) -> None:
    path, expert = tmp_path / "few.safetensors", blueprint.build_transformer()
    from safetensors.torch import load_file

    tensors = load_file(written(path))
    if fault == "half":
        del tensors["transformer.blocks.0.attn1.to_q.lora_B.weight"]
    if fault == "foreign layer":
        tensors |= {f"blocks.77.attn1.to_q.lora_{x}.weight": torch.zeros(4, 4) for x in "AB"}
    if fault == "foreign shape":
        tensors["transformer.blocks.0.attn1.to_q.lora_A.weight"] = torch.zeros(RANK, 64)
    if fault == "foreign tensor":
        tensors["blocks.0.attn1.to_q.dora_scale"] = torch.zeros(1)
    save_file({} if fault == "empty" else tensors, path)
    before = {name: each.clone() for name, each in expert.state_dict().items()}
    with pytest.raises(lora.NotForThisModelError, match=r"few\.safetensors"):
        lora.merge(expert, path)
    assert all(torch.equal(each, before[name]) for name, each in expert.state_dict().items())


def test_both_experts_get_theirs_before_anything_is_rounded_and_the_file_is_in_the_name(
    tier: Tier, tmp_path: Path, tiny: Callable[..., Request]
) -> None:
    high, low = written(tmp_path / "high.safetensors", 1), written(tmp_path / "low.safetensors", 2)
    changes = {"lora": str(high), "lora_2": str(low), "guidance": 1.0, "guidance_2": 1.0}
    plain, with_lora = wan.load(tier, CPU), wan.load(tier.model_copy(update=changes), CPU)
    assert with_lora.tuned.facts["lora"] == "4 layers + 4 layers"
    for seed, before, after in (
        (1, plain.transformer, with_lora.transformer),
        (2, plain.transformer_2, with_lora.transformer_2),
    ):
        assert isinstance(before, WanTransformer3DModel)
        assert isinstance(after, WanTransformer3DModel)
        up, down = factors(seed)["blocks.0.attn1.to_q"]
        moved = after.blocks[0].attn1.to_q.weight - before.blocks[0].attn1.to_q.weight
        assert torch.allclose(moved, up @ down, atol=1e-6)
    take = tiny(guidance=1.0, guidance_2=1.0).take
    exact = latents(Engine(with_lora), take)
    assert relative(exact, latents(Engine(plain), take)) > 1e-3
    rounded = wan.load(tier.model_copy(update=changes | {"quantisation": "int8"}), CPU)
    assert relative(latents(Engine(rounded), take), exact) < 0.05
    assert with_lora.execution != plain.execution
    written(high, 3)
    assert wan.load(tier.model_copy(update=changes), CPU).execution != with_lora.execution


def test_a_lora_that_is_nowhere_is_refused_before_the_network_is_asked(tier: Tier) -> None:
    for place in ("nowhere.safetensors", "/nowhere/at/all:x", "a/b/c:x"):
        with pytest.raises(FileNotFoundError):
            wan.load(tier.model_copy(update={"lora": place, "lora_2": place}), CPU)


def test_a_lora_on_the_hub_may_be_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def download(owner: str, file: str, revision: str | None) -> str:
        asked.append((owner, file, revision))
        return str(tmp_path)

    monkeypatch.setattr(lora, "hf_hub_download", download)
    assert (
        lora.resolve("owner/name:a/high.safetensors") == lora.resolve("owner/name@1a2b:a/high.safetensors") == tmp_path
    )
    assert asked == [("owner/name", "a/high.safetensors", None), ("owner/name", "a/high.safetensors", "1a2b")]
