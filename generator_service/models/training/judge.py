"""Watches the denoiser while it learns: videos of seen captions, judged by pixels, in one batch."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from generator_service.models.blueprint import build_scheduler, build_vae
from generator_service.models.training import state, whole
from generator_service.models.training.data import Latents, training_scenes
from generator_service.models.training.pads import FoldedPads, collate
from generator_service.models.training.scorer import agreement, score

STEPS, GUIDANCE = 12, 4.0


@torch.no_grad()
def judge(
    model: WanTransformer3DModel, data: Latents, captions: list[list[Tensor]], empty: Tensor, *, count: int, seed: int
) -> dict[str, float]:
    """Share of ``count`` videos in which each attribute is right; ``captions`` are text states by training scene,
    ``empty`` those of the empty prompt."""
    rng = np.random.default_rng(seed)
    device = next(model.parameters()).device
    every = training_scenes()
    picks = rng.integers(len(every), size=count)
    texts = [captions[i][int(rng.integers(len(captions[i])))] for i in picks]
    latents = sample(model, texts, [empty] * count, torch.Generator().manual_seed(seed)).cpu()
    vae = build_vae()
    saved = state.load("vae.pt")
    if saved is None:
        raise SystemExit("the VAE is gone")
    vae.load_state_dict(saved["model"])
    x = latents * data.std.view(1, -1, 1, 1, 1) + data.mean.view(1, -1, 1, 1, 1)
    right = dict.fromkeys(("color", "background", "motion", "shape", "all"), 0)
    for i, index in enumerate(picks):
        video = whole.decode(vae.to(device), x[i : i + 1].to(device))[0].clamp(-1, 1).cpu()
        good = agreement(score(((video.permute(1, 2, 3, 0) + 1) / 2).numpy()), every[index])
        for name, value in {**good, "all": all(good.values())}.items():
            right[name] += value
    return {name: round(n / count, 3) for name, n in right.items()}


def sample(model: WanTransformer3DModel, texts: list[Tensor], blanks: list[Tensor], noise: torch.Generator) -> Tensor:
    """Latents (n, 16, 3, 8, 8) for text states, by the stock scheduler with classifier-free guidance."""
    device = next(model.parameters()).device
    processor = model.blocks[0].attn2.processor
    if not isinstance(processor, FoldedPads):
        raise TypeError("fold(model) first")
    scheduler = build_scheduler()
    scheduler.set_timesteps(STEPS)
    x = torch.randn(len(texts), 16, 3, 8, 8, generator=noise).to(device)
    (text, text_bias), (blank, blank_bias) = collate(texts), collate(blanks)
    for t in scheduler.timesteps:
        outs = []
        for states, bias in ((text, text_bias), (blank, blank_bias)):
            processor.bias = bias.to(device)
            outs.append(model(x, t.expand(len(texts)).to(device), states.to(device), return_dict=False)[0])
        x = scheduler.step(outs[1] + GUIDANCE * (outs[0] - outs[1]), t, x, return_dict=False)[0]
    return x
