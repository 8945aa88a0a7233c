"""Low-rank updates of an expert's weights, merged once when it is loaded: W + scale * alpha / rank * B A (Hu et al. 2021).

Merged, a LoRA costs nothing in a step and quantises with the rest. That is what serving one tier needs, so peft's layers, which can
be switched at run time, are not: a few lines read the three ways in which Wan's LoRAs are written (diffusers and peft's
``lora_A``/``lora_B``, kohya's ``lora_down``/``lora_up`` with ``alpha``, the authors' names of the layers behind ``diffusion_model.``).
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor, nn

PREFIXES = ("diffusion_model.", "transformer.", "model.", "base_model.model.")
DOWN, UP = (
    (".lora_A.weight", ".lora_down.weight", ".lora_A.default.weight"),
    (
        ".lora_B.weight",
        ".lora_up.weight",
        ".lora_B.default.weight",
    ),
)
# The authors' names of Wan's layers, and diffusers'.
NAMES = {
    r"\.self_attn\.": ".attn1.",
    r"\.cross_attn\.": ".attn2.",
    r"\.(q|k|v)$": r".to_\1",
    r"\.o$": ".to_out.0",
    r"\.ffn\.0$": ".ffn.net.0.proj",
    r"\.ffn\.2$": ".ffn.net.2",
    r"^text_embedding\.0$": "condition_embedder.text_embedder.linear_1",
    r"^text_embedding\.2$": "condition_embedder.text_embedder.linear_2",
    r"^time_embedding\.0$": "condition_embedder.time_embedder.linear_1",
    r"^time_embedding\.2$": "condition_embedder.time_embedder.linear_2",
    r"^time_projection\.1$": "condition_embedder.time_proj",
    r"^head\.head$": "proj_out",
}


class NotForThisModelError(ValueError):
    """The file is no LoRA, or one whose layers this expert does not have."""


def resolve(place: str, beside: Path | None = None) -> Path:
    """The file of ``owner/name:file`` or ``owner/name@revision:file`` (fetched when it is not there), or a local one, relative to
    ``beside``. Raises ``FileNotFoundError``."""
    for base in (Path(), beside):
        if base is not None and (base / place).is_file():
            return base / place
    repository, _, file = place.partition(":")
    owner, _, revision = repository.partition("@")
    if not file or owner.count("/") != 1 or owner.startswith("/"):
        raise FileNotFoundError(f"{place!r} is neither a file nor owner/name:file on the hub")
    return Path(hf_hub_download(owner, file, revision=revision or None))


def merge(expert: nn.Module, file: Path, scale: float = 1.0) -> int:
    """Adds the update in ``file`` to the weights of ``expert``, in fp32; to how many layers.

    Raises `NotForThisModelError` before anything is changed where a layer is not there or has another shape: a LoRA that is
    only half on looks like one that is.
    """
    factors = _factors(load_file(file), file.name)
    layers = dict(expert.named_modules())
    for layer, (up, down, _) in factors.items():
        there = getattr(layers.get(layer), "weight", None)
        if there is None or there.shape != (up.shape[0], down.shape[1]):
            raise NotForThisModelError(f"{file.name} changes {layer}, which is not in this model or has another shape")
    for layer, (up, down, share) in factors.items():
        weight = layers[layer].weight.data
        update = up.to(weight.device, torch.float32) @ down.to(weight.device, torch.float32)
        weight.copy_(weight.float() + scale * share * update)
    return len(factors)


def _factors(tensors: dict[str, Tensor], name: str) -> dict[str, tuple[Tensor, Tensor, float]]:
    """For each layer B (outputs, rank), A (rank, inputs) and alpha / rank."""
    found: dict[str, tuple[Tensor, Tensor, float]] = {}
    used: set[str] = set()
    for key in tensors:
        end = next((end for end in DOWN if key.endswith(end)), None)
        if end is None:
            continue
        stem = key.removesuffix(end)
        up = stem + UP[DOWN.index(end)]
        if up not in tensors:
            raise NotForThisModelError(f"{name} has {key} without {up}")
        alpha = tensors.get(f"{stem}.alpha")
        share = 1.0 if alpha is None else float(alpha) / tensors[key].shape[0]
        found[layer_name(stem)] = tensors[up], tensors[key], share
        used |= {key, up, f"{stem}.alpha"}
    strange = sorted(set(tensors) - used)
    if strange or not found:
        raise NotForThisModelError(f"{name} is no LoRA of linear layers: {strange[0] if strange else 'it is empty'}")
    return found


def layer_name(stem: str) -> str:
    """diffusers' name of the layer that a LoRA names ``stem``."""
    for prefix in PREFIXES:
        stem = stem.removeprefix(prefix)
    for theirs, ours in NAMES.items():
        stem = re.sub(theirs, ours, stem)
    return stem
