"""Latents of a model: their shape, the noise that a take begins with, and their file."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from safetensors.torch import load, save
from torch import Tensor

from generator_service.core import Take
from generator_service.wan import Components


def shape(parts: Components, width: int, height: int, frames: int) -> tuple[int, int, int, int]:
    """(channels, latent frames, height, width) of a video of ``width`` x ``height`` pixels and ``frames`` pictures."""
    vae = parts.vae.config
    space = vae["scale_factor_spatial"]
    latent_frames = (frames - 1) // vae["scale_factor_temporal"] + 1
    return parts.transformer.config["in_channels"], latent_frames, height // space, width // space


def tokens(parts: Components, of: Sequence[int]) -> int:
    """Latent tokens that an expert attends over, for latents of the shape ``of``, the last three of which count."""
    patch = parts.transformer.config["patch_size"]
    return prod(size // edge for size, edge in zip(of[-3:], patch, strict=True))


def noise(parts: Components, take: Take) -> Tensor:
    """Noise of the request's own shape, drawn on the CPU: the same on every device, and never a slice of a longer
    draw.
    """
    generator = torch.Generator("cpu").manual_seed(take.seed)
    drawn = torch.randn(
        (1, *shape(parts, take.width, take.height, take.frames)), generator=generator, dtype=torch.float32
    )
    return drawn.to(parts.device)


def pack(latents: Tensor) -> bytes:
    """Latents as a safetensors file."""
    return save({"latents": latents.cpu().contiguous()})


def unpack(data: bytes) -> Tensor:
    """What `pack` wrote."""
    return load(data)["latents"]
