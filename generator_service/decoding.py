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

Pictures = npt.NDArray[np.uint8]


@dataclasses.dataclass(kw_only=True)
class Decoding:
    """Final latents on their way to pictures, one latent frame a step. ``memory`` is the causal VAE's own map of
    features.
    """

    latents: Tensor
    memory: list[Any]
    index: int = 0

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
    vae.clear_cache()
    return Decoding(
        latents=vae.post_quant_conv((latents / inverse_std + mean).to(vae.dtype)), memory=list(vae._feat_map)
    )


def pictures(vae: AutoencoderKLWan, state: Decoding) -> Pictures:
    """The pictures of the next latent frame, uint8 (1 or 4, height, width, 3): one for the first, four for each other.

    Bit-equal to ``vae.decode`` on the whole, and safe to interleave, because the memory is the caller's.
    """
    k = state.index
    piece = vae.decoder(state.latents[:, :, k : k + 1], feat_cache=state.memory, feat_idx=[0], first_chunk=k == 0)
    if vae.config["patch_size"] is not None:
        piece = unpatchify(piece, patch_size=vae.config["patch_size"])
    state.index += 1
    unit = piece[0].float().clamp(-1.0, 1.0).mul(0.5).add(0.5).permute(1, 2, 3, 0)
    made: Pictures = unit.mul(255.0).round().to(torch.uint8).cpu().numpy()
    return made
