"""Decodes in four overlapping tiles, one latent frame of one tile a step: about two fifths of the memory of a whole decode.

The middle block sees the whole frame (see `bands.py`); what follows does not see beyond a tile's edge, so pixels differ a little from
the whole decode near the seams, where the tiles' overlaps are blended linearly.
diffusers' own ``tiled_decode`` keeps its feature map on the module and is not stepped, so it cannot be interleaved.
"""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor

from generator_service.bands import cut_behind_the_middle
from generator_service.engine import Engine, Pictures
from generator_service.memory import overlap


@dataclasses.dataclass(kw_only=True)
class Tiled:
    """``latents`` on the VAE's own scale; ``canvas`` lies in the host's memory, float16 (frames, height, width, 3)."""

    latents: Tensor
    windows: list[tuple[slice, slice]]
    empty: list[Any]
    memory: list[Any]
    canvas: npt.NDArray[np.float16]
    index: int = 0
    frame: int = 0

    @property
    def steps(self) -> int:
        return len(self.windows) * self.latents.shape[2]

    @property
    def done(self) -> bool:
        return self.index >= self.steps


def begin(engine: Engine, latents: Tensor) -> Tiled:
    """As `Engine.begin_decode`."""
    whole, vae = engine.begin_decode(latents), engine.parts.vae
    _, _, frames, height, width = whole.latents.shape
    space, time = vae.config["scale_factor_spatial"], vae.config["scale_factor_temporal"]
    return Tiled(
        latents=whole.latents,
        windows=list(product(_halves(height), _halves(width))),
        empty=whole.memory,
        memory=list(whole.memory),
        canvas=np.zeros(((frames - 1) * time + 1, height * space, width * space, 3), np.float16),
    )


@torch.no_grad()
def decode(engine: Engine, state: Tiled) -> Pictures:
    """The next latent frame of the next tile. Pictures come with the last step, all at once; before it, none."""
    vae, frames = engine.parts.vae, state.latents.shape[2]
    number, k = divmod(state.index, frames)
    if k == 0:
        state.memory, state.frame = list(state.empty), 0
    rows, columns = state.windows[number]
    with cut_behind_the_middle(vae, (rows, columns)):
        piece = vae.decoder(state.latents[:, :, k : k + 1], feat_cache=state.memory, feat_idx=[0], first_chunk=k == 0)
    if vae.config["patch_size"] is not None:
        piece = unpatchify(piece, patch_size=vae.config["patch_size"])
    unit = piece[0].float().clamp(-1.0, 1.0).mul(0.5).add(0.5).permute(1, 2, 3, 0).cpu().numpy()
    _blend(state, rows, columns, unit, vae.config["scale_factor_spatial"])
    state.index += 1
    if not state.done:
        return np.zeros((0, *state.canvas.shape[1:]), np.uint8)
    state.memory = []
    whole: Pictures = np.clip(np.rint(state.canvas.astype(np.float32) * 255), 0, 255).astype(np.uint8)
    return whole


def _halves(length: int) -> tuple[slice, ...]:
    """Two windows over ``length`` latents; one where there is nothing to cut."""
    if length < 2:
        return (slice(0, length),)
    size = (length + overlap(length)) // 2
    return slice(0, size), slice(length - size, length)


def _blend(state: Tiled, rows: slice, columns: slice, unit: npt.NDArray[np.float32], space: int) -> None:
    _, _, _, height, width = state.latents.shape
    down = _ramp(rows, height, space)[:, None, None]
    across = _ramp(columns, width, space)[None, :, None]
    area = np.s_[
        state.frame : state.frame + len(unit),
        rows.start * space : rows.stop * space,
        columns.start * space : columns.stop * space,
    ]
    state.canvas[area] += (unit * down * across).astype(np.float16)
    state.frame += len(unit)


def _ramp(window: slice, length: int, space: int) -> npt.NDArray[np.float32]:
    """Weights of a window's pixels along one side: those of two windows that overlap add up to one."""
    weights = np.ones((window.stop - window.start) * space, np.float32)
    shared = (2 * (window.stop - window.start) - length) * space
    if shared <= 0 or (window.start == 0 and window.stop == length):
        return weights
    rising = (np.arange(shared, dtype=np.float32) + 0.5) / shared
    if window.start == 0:
        weights[-shared:] = rising[::-1]
    else:
        weights[:shared] = rising
    return weights
