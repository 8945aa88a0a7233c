"""A picture decoded in bands whose seams cannot be seen: one band a process, each with as much of its neighbours as its pixels depend on.

The middle block of ``AutoencoderKLWan``'s decoder attends over the whole frame, so it runs on the whole; it is small, at the latents' own
size. What follows are convolutions, whose reach is known. A band that is cut behind the middle block with that reach on both sides
has the pixels of the whole decode, up to the order of sums in a convolution of another size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from diffusers import AutoencoderKLWan
from torch import Tensor

Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """Of the latents along ``axis`` (0 rows, 1 columns) it needs those from ``start`` to ``stop``, and its own are ``first`` to
    ``last``."""

    axis: int
    start: int
    stop: int
    first: int
    last: int

    @property
    def window(self) -> Window:
        """What is decoded, in latents."""
        along = slice(self.start, self.stop)
        return (along, slice(None)) if self.axis == 0 else (slice(None), along)

    def cut(self, pictures: Tensor, scale: int) -> Tensor:
        """Its own pixels of what came out of `window`, (..., height, width, colours), ``scale`` pixels a latent."""
        along = slice((self.first - self.start) * scale, (self.last - self.start) * scale)
        return pictures[..., along, :, :] if self.axis == 0 else pictures[..., :, along, :]


def bands(height: int, width: int, parts: int, reach: int) -> list[Band]:
    """``parts`` bands over the longer side of a frame of ``height`` x ``width`` latents, in order; fewer where there are fewer
    latents than bands."""
    axis, length = (0, height) if height > width else (1, width)
    parts = min(parts, length)
    edges = [length * part // parts for part in range(parts + 1)]
    return [
        Band(axis=axis, start=max(0, first - reach), stop=min(length, last + reach), first=first, last=last)
        for first, last in pairwise(edges)
    ]


def reach(config: Mapping[str, Any]) -> int:
    """Latents on each side that a pixel depends on behind the middle block, of a VAE with this configuration: two convolutions of three
    by three in each residual block, one behind each doubling, one at the end."""
    levels, blocks = len(config["dim_mult"]), config["num_res_blocks"] + 1
    pixels = 1 + 2 * blocks
    for _ in range(levels - 1):
        pixels = -(-(pixels + 1) // 2) + 2 * blocks
    return pixels


@contextmanager
def cut_behind_the_middle(vae: AutoencoderKLWan, window: Window) -> Iterator[None]:
    """The decoder of ``vae`` goes on with ``window`` of its frame, for as long as the block lasts; always with the same one for a memory of
    features."""
    if window == WHOLE:
        yield
        return
    rows, columns = window
    handle = vae.decoder.mid_block.register_forward_hook(lambda *passed: passed[2][..., rows, columns])
    try:
        yield
    finally:
        handle.remove()
