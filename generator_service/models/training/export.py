"""Writes the trained components as one ``save_pretrained`` folder, fp16 safetensors, as diffusers' WanPipeline reads it.

``python -m generator_service.models.training.export`` after vae, text and denoiser.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from generator_service.models.blueprint import (
    BOUNDARY_RATIO,
    build_scheduler,
    build_text_encoder,
    build_transformer,
    build_vae,
)
from generator_service.models.training import state

FOLDER = Path(__file__).parents[1] / "embedded"
MOST_BYTES = 12_000_000
PARTS = {
    "scheduler": ("diffusers", "UniPCMultistepScheduler"),
    "text_encoder": ("transformers", "UMT5EncoderModel"),
    "tokenizer": ("transformers", "PreTrainedTokenizerFast"),
    "transformer": ("diffusers", "WanTransformer3DModel"),
    "transformer_2": ("diffusers", "WanTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLWan"),
}


def export(folder: Path) -> int:
    """Write every component but the tokenizer, and model_index.json; returns the bytes of the weights."""
    latents, text = _trained("latents.pt"), _trained("text.pt")
    vae = build_vae(latents["mean"].tolist(), latents["std"].tolist())
    vae.load_state_dict(_trained("vae.pt")["model"])
    words = {k.removeprefix("encoder."): v for k, v in text["model"].items() if k.startswith("encoder.")}
    text_encoder = build_text_encoder(words["shared.weight"].shape[0])
    text_encoder.load_state_dict(words)
    models: dict[str, Any] = {"vae": vae, "text_encoder": text_encoder}
    for name, saved in (("transformer", "high.pt"), ("transformer_2", "low.pt")):
        models[name] = build_transformer()
        # Until the experts are apart, both are the model of all noise levels.
        models[name].load_state_dict((state.load(saved) or _trained("denoiser.pt"))["average"])
    for name, model in models.items():
        _half(model).save_pretrained(folder / name)
    build_scheduler().save_pretrained(folder / "scheduler")
    _write_index(folder)
    return sum(f.stat().st_size for f in folder.rglob("*.safetensors"))


def _trained(name: str) -> dict[str, Any]:
    saved = state.load(name)
    if saved is None:
        raise SystemExit(f"{name} is not there: train it first")
    return saved


def _half(model: nn.Module) -> Any:
    for p in model.parameters():
        p.data = p.data.to(torch.float16)
    return model


def _write_index(folder: Path) -> None:
    index: dict[str, Any] = {"_class_name": "WanPipeline", "_diffusers_version": diffusers.__version__}
    index |= {name: list(where) for name, where in PARTS.items()}
    index |= {"boundary_ratio": BOUNDARY_RATIO, "expand_timesteps": False}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    size = export(args.folder)
    print(f"{size / 1e6:.2f} MB of weights in {args.folder}")
    if size > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
