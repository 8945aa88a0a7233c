"""Final latents to pictures, one latent frame at a time. Call from one thread at a time, without gradients."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor

from generator_service.bands import WHOLE, Window, cut_behind_the_middle

Pictures = npt.NDArray[np.uint8]


@dataclasses.dataclass(kw_only=True)
class Decoding:
    """Final latents on their way to pictures, one latent frame a step. ``memory`` is the causal VAE's own map of
    features; ``number`` is its name where processes share it, 0 before they do.
    """

    latents: Tensor
    memory: list[Any]
    index: int = 0
    number: int = 0

    @property
    def steps(self) -> int:
        return self.latents.shape[2]

    @property
    def done(self) -> bool:
        return self.index >= self.steps


def begin(vae: AutoencoderKLWan, latents: Tensor) -> Decoding:
    """``latents`` back at the VAE's own scale, and an empty memory for its causal convolutions."""
    latents = latents.float()
    shape = (1, vae.config["z_dim"], 1, 1, 1)
    mean = torch.tensor(vae.config["latents_mean"]).view(shape).to(latents)
    inverse_std = 1.0 / torch.tensor(vae.config["latents_std"]).view(shape).to(latents)
    return Decoding(latents=vae.post_quant_conv((latents / inverse_std + mean).to(vae.dtype)), memory=empty_memory(vae))


def empty_memory(vae: AutoencoderKLWan) -> list[Any]:
    """Of the causal convolutions of ``vae``, before the first frame."""
    vae.clear_cache()
    return list(vae._feat_map)


def pictures(vae: AutoencoderKLWan, state: Decoding) -> Pictures:
    """The pictures of the next latent frame, uint8 (1 or 4, height, width, 3): one for the first, four for each other.

    Bit-equal to ``vae.decode`` on the whole, and safe to interleave, because the memory is the caller's.
    """
    made: Pictures = levels(vae, state).cpu().numpy()
    return made


def levels(vae: AutoencoderKLWan, state: Decoding, window: Window = WHOLE) -> Tensor:
    """`pictures` on the device; of ``window`` only, in latents, the same one for every frame of ``state``."""
    k = state.index
    with cut_behind_the_middle(vae, window):
        piece = vae.decoder(state.latents[:, :, k : k + 1], feat_cache=state.memory, feat_idx=[0], first_chunk=k == 0)
    if vae.config["patch_size"] is not None:
        piece = unpatchify(piece, patch_size=vae.config["patch_size"])
    state.index += 1
    unit = piece[0].float().clamp(-1.0, 1.0).mul(0.5).add(0.5).permute(1, 2, 3, 0)
    return unit.mul(255.0).round().to(torch.uint8)
