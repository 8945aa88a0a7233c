"""Trains the embedded VAE. ``python -m generator_service.models.training.vae --steps 3000``

Deterministic by seed (each step draws from its own generator, so a resumed run sees the same data), resumable, CPU or GPU.
The gate: the shape of at least 95 % of reconstructions is right by the scorer, before the denoiser is worth training.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from generator_service.models.blueprint import build_vae
from generator_service.models.training import muon, state, whole
from generator_service.models.training.scorer import agreement, score
from generator_service.models.training.world import SIZE, Array, backdrop, render, sample_clip, scenes

STATE = "vae.pt"
OBJECT_WEIGHT = 5.0
KL_WEIGHT = 3e-5
CROP = 32
# The last part of the run sees whole clips, so that borders and the attention over a full frame are learned.
WHOLE_CLIPS_FROM = 0.7


def initialise(vae: AutoencoderKLWan) -> None:
    """Orthogonal convolutions, and zero second convolutions, so that every residual block starts as the identity."""
    for name, p in vae.named_parameters():
        if p.ndim >= 4 and min(p.shape[0], p[0].numel()) > 1:
            flat = torch.empty_like(p.flatten(1))
            nn.init.orthogonal_(flat)
            p.data.copy_(flat.view_as(p))
            if ".conv2." in name or "proj" in name:
                p.data.zero_()
        elif name.endswith("bias"):
            p.data.zero_()


def clip_batch(rng: np.random.Generator, count: int) -> tuple[Array, Array, list[tuple[float, float]]]:
    """Clips (n, t, h, w, 3), the weight of each pixel (n, t, h, w), and where each object is in mid-clip."""
    every = list(scenes())
    videos, weights, centers = [], [], []
    for index in rng.integers(len(every), size=count):
        clip = sample_clip(every[index], rng)
        video = render(clip)
        back = backdrop(clip.scene.background, SIZE, SIZE)
        inside = torch.from_numpy((np.abs(video - back).sum(-1) > 0.02).astype(np.float32))
        rim = F.max_pool2d(inside[:, None], 5, 1, 2)[:, 0].numpy()
        videos.append(video)
        weights.append(1 + (OBJECT_WEIGHT - 1) * rim)
        centers.append(((clip.start[0] + clip.end[0]) / 2 * SIZE, (clip.start[1] + clip.end[1]) / 2 * SIZE))
    return np.stack(videos), np.stack(weights), centers


def sample(rng: np.random.Generator, whole_clips: bool) -> tuple[Tensor, Tensor]:
    """A batch: video (n, 3, t, h, w) in [-1, 1] and pixel weights (n, 1, t, h, w)."""
    videos, weights, centers = clip_batch(rng, 2 if whole_clips else 6)
    if not whole_clips:
        crops = []
        for x, y in centers:
            jitter = rng.uniform(-14, 14, 2)
            crops.append([int(np.clip(v + j - CROP / 2, 0, SIZE - CROP)) for v, j in zip((x, y), jitter, strict=True)])
        cut = [(slice(None), slice(y, y + CROP), slice(x, x + CROP)) for x, y in crops]
        videos = np.stack([v[c] for v, c in zip(videos, cut, strict=True)])
        weights = np.stack([w[c] for w, c in zip(weights, cut, strict=True)])
    video = torch.from_numpy(videos).permute(0, 4, 1, 2, 3) * 2 - 1
    return video, torch.from_numpy(weights)[:, None]


def loss_of(vae: AutoencoderKLWan, video: Tensor, weight: Tensor, noise: torch.Generator) -> Tensor:
    """Weighted L1 + MSE of the reconstruction, plus the KL divergence from a unit normal."""
    mean, logvar = whole.encode(vae, video)
    logvar = logvar.clamp(-30, 20)
    draw = torch.randn(mean.shape, generator=noise).to(mean)
    error = whole.decode(vae, mean + (0.5 * logvar).exp() * draw) - video
    pixels = ((error.abs() + error.square()) * weight).sum() / (weight.sum() * 3)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return pixels + KL_WEIGHT * kl


@torch.no_grad()
def judge(vae: AutoencoderKLWan, count: int, seed: int) -> dict[str, float]:
    """Share of reconstructions in which each attribute is right, and the mean PSNR in dB."""
    rng = np.random.default_rng(seed)
    every = list(scenes())
    right = dict.fromkeys(("color", "background", "motion", "shape"), 0)
    psnr = 0.0
    for index in rng.integers(len(every), size=count):
        clip = sample_clip(every[index], rng)
        video = torch.from_numpy(render(clip)).permute(3, 0, 1, 2)[None] * 2 - 1
        device = next(vae.parameters()).device
        out = whole.decode(vae, whole.encode(vae, video.to(device))[0]).clamp(-1, 1).cpu()
        psnr += 10 * math.log10(4 / float((out - video).square().mean()))
        for name, good in agreement(score(((out[0].permute(1, 2, 3, 0) + 1) / 2).numpy()), clip.scene).items():
            right[name] += good
    return {name: n / count for name, n in right.items()} | {"psnr": psnr / count}


def train(steps: int, seed: int, device: str, rate: float, report_every: int) -> AutoencoderKLWan:
    """Run, or go on with, the training of ``steps`` steps; the state is saved every ``report_every`` steps."""
    torch.manual_seed(seed)
    vae = build_vae()
    initialise(vae)
    vae.to(device).train()
    opts = muon.optimizers(vae, lr=rate, adam_lr=3e-3)
    first = 0
    if saved := state.load(STATE):
        vae.load_state_dict(saved["model"])
        for opt, kept in zip(opts, saved["optimizers"], strict=True):
            opt.load_state_dict(kept)
        first = saved["step"]
    begun, mean_loss = time.time(), 0.0
    for step in range(first, steps):
        progress = step / steps
        muon.set_rate(opts, min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * progress)) + 0.01)
        video, weight = sample(np.random.default_rng([seed, step]), progress >= WHOLE_CLIPS_FROM)
        noise = torch.Generator().manual_seed(seed * 1_000_003 + step)
        loss = loss_of(vae, video.to(device), weight.to(device), noise)
        for opt in opts:
            opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for o in opts[1:] for g in o.param_groups for p in g["params"]], 1.0)
        for opt in opts:
            opt.step()
        mean_loss = 0.98 * mean_loss + 0.02 * loss.item()
        if (step + 1) % report_every == 0 or step + 1 == steps:
            state.save(STATE, model=vae.state_dict(), optimizers=[o.state_dict() for o in opts], step=step + 1)
            print(step + 1, f"{time.time() - begun:.0f}s loss {mean_loss:.4f}", judge(vae, 32, seed=7), flush=True)
    return vae


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rate", type=float, default=0.012)
    parser.add_argument("--report-every", type=int, default=200)
    args = parser.parse_args()
    train(args.steps, args.seed, args.device, args.rate, args.report_every)


if __name__ == "__main__":
    main()
