"""What the text encoder and the denoiser learn from: which scenes, which captions, which latents."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor

from generator_service.models.training import state, whole
from generator_service.models.training.captions import caption, short_caption
from generator_service.models.training.world import Array, Clip, Scene, backdrop, render, sample_clip, scenes

LATENTS = "latents.pt"


@functools.cache
def _held_out() -> frozenset[int]:
    count = len(list(scenes()))
    return frozenset(np.random.default_rng(2026).permutation(count)[: count // 10].tolist())


def held_out(index: int) -> bool:
    """A tenth of the scenes, drawn at random once, that is never trained on with text."""
    return index in _held_out()


def training_scenes() -> list[Scene]:
    """Every scene that is not held out, in the world's order."""
    return [s for i, s in enumerate(scenes()) if not held_out(i)]


def draw_caption(scene: Scene, rng: np.random.Generator, short: bool) -> str:
    return short_caption(scene, rng) if short else caption(scene, rng)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Clips as the denoiser sees them: latents (n, c, t, h, w) of mean 0 and deviation 1, scene of each, where its object is."""

    latents: Tensor
    scene: Tensor
    object: Tensor
    mean: Tensor
    std: Tensor


@torch.no_grad()
def encode_clips(vae: AutoencoderKLWan, per_scene: int, seed: int, device: str) -> Latents:
    """Encode ``per_scene`` clips of every training scene; cached on disk by count and seed."""
    saved = state.load(LATENTS)
    every = training_scenes()
    count = per_scene * len(every)
    if saved and saved["count"] == count and saved["seed"] == seed:
        return Latents(**{f.name: saved[f.name] for f in dataclasses.fields(Latents)})
    rng = np.random.default_rng([seed, 1])
    order = [i % len(every) for i in range(count)]
    latents, masks = [], []
    for begin in range(0, count, 8):
        clips = [sample_clip(every[i], rng) for i in order[begin : begin + 8]]
        videos = np.stack([render(c) for c in clips])
        video = torch.from_numpy(videos).permute(0, 4, 1, 2, 3).to(device) * 2 - 1
        latents.append(whole.encode(vae, video)[0].cpu())
        masks.append(_object(videos, clips))
    x = torch.cat(latents)
    mean, std = x.mean((0, 2, 3, 4)), x.std((0, 2, 3, 4))
    x = (x - mean.view(1, -1, 1, 1, 1)) / std.view(1, -1, 1, 1, 1)
    data = Latents(latents=x.half(), scene=torch.tensor(order), object=torch.cat(masks), mean=mean, std=std)
    state.save(LATENTS, count=count, seed=seed, **dataclasses.asdict(data))
    return data


def _object(video: Array, clips: list[Clip]) -> Tensor:
    """Where the object is, at latent resolution: (n, 1, t, h, w), 1 where any pixel under the latent shows it."""
    backs = np.stack([backdrop(c.scene.background, *video.shape[2:4]) for c in clips])
    away = torch.from_numpy((np.abs(video - backs[:, None]).sum(-1) > 0.05).astype(np.float32))[:, None]
    first = F.max_pool3d(away[:, :, :1], (1, 8, 8))
    later = F.max_pool3d(away[:, :, 1:], (4, 8, 8))
    return torch.cat([first, later], 2)
