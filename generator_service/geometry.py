"""The sizes of a model that decide what a request costs, read from the configurations of its parts. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from generator_service.core import Take


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A video in latents: ``frames`` latent frames of ``height`` x ``width``; ``passes`` of the expert a step."""

    frames: int
    height: int
    width: int
    steps: int
    passes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv:
    """A convolution of the decoder for one latent frame: ``taps`` of its kernel, over ``frames`` x ``height`` x ``width``.

    ``memory`` is how many earlier frames of its input the causal feature map keeps.
    """

    inputs: int
    outputs: int
    taps: int
    frames: int
    height: int
    width: int
    memory: int = 0

    @property
    def places(self) -> int:
        return self.frames * self.height * self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """``item`` and ``vae_item`` are bytes of a number in the experts and in the VAE; ``window`` is the text's length.

    ``weights`` are the bytes of all parts that stay on the device, ``expert`` those of one expert, and ``experts`` how many there
    are. ``visiting`` are bytes of a text encoder that is there only while it works. ``text_kept`` bounds the bytes of the keys and
    values of texts that are kept over the steps; 0 keeps none. ``shares_passes``: the second pass of a step takes over the first
    block's self-attention from the first one. Videos of a small shape share passes of ``batch_tokens`` latent tokens,
    ``batch_requests`` at most; 0 where they do not. ``shares``: processes among which the tokens of a pass are divided, by a
    ``ring`` or else by Ulysses.
    """

    width: int
    feed_forward: int
    layers: int
    channels: int
    patch: tuple[int, int, int]
    text_width: int
    text_inner: int
    text_heads: int
    text_feed_forward: int
    text_layers: int
    window: int
    decoder: tuple[int, ...]
    decoder_blocks: int
    decoder_temporal: tuple[bool, ...]
    decoder_out: int
    spatial: int
    temporal: int
    item: int = 4
    vae_item: int = 4
    weights: int = 0
    expert: int = 0
    experts: int = 2
    visiting: int = 0
    text_kept: int = 0
    shares_passes: bool = False
    shares: int = 1
    ring: bool = False
    batch_tokens: int = 0
    batch_requests: int = 1
    # TI2V-5B's decoder: blocks keep their width where they upsample.
    residual: bool = False
    # "none", "expert" or "group": what of the experts' weights is never on the device, see `Tier.offload`.
    offload: str = "none"
    # How far the ladder may go with them, see `Tier.may_offload`.
    may_offload: str = "group"

    @classmethod
    def of(
        cls, transformer: Mapping[str, Any], vae: Mapping[str, Any], text: Mapping[str, Any], **more: Any
    ) -> Geometry:
        """From the three configurations as diffusers and transformers write them."""
        base = vae["decoder_base_dim"] or vae["base_dim"]
        multiples = [vae["dim_mult"][-1], *reversed(vae["dim_mult"])]
        return cls(
            width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
            feed_forward=transformer["ffn_dim"],
            layers=transformer["num_layers"],
            channels=transformer["in_channels"],
            patch=tuple(transformer["patch_size"]),
            text_width=text["d_model"],
            text_inner=text["num_heads"] * text["d_kv"],
            text_heads=text["num_heads"],
            text_feed_forward=text["d_ff"],
            text_layers=text["num_layers"],
            decoder=tuple(base * multiple for multiple in multiples),
            decoder_blocks=vae["num_res_blocks"],
            decoder_temporal=tuple(reversed(vae["temperal_downsample"])),
            decoder_out=vae["out_channels"],
            spatial=vae["scale_factor_spatial"],
            temporal=vae["scale_factor_temporal"],
            residual=bool(vae.get("is_residual", False)),
            **more,
        )

    def shape(self, take: Take) -> Shape:
        """What ``take`` is in latents."""
        return Shape(
            frames=(take.frames - 1) // self.temporal + 1,
            height=take.height // self.spatial,
            width=take.width // self.spatial,
            steps=take.steps,
            passes=2 if take.guidance > 1.0 else 1,
        )

    def tokens(self, shape: Shape) -> int:
        """Latent tokens that an expert attends over."""
        t, h, w = self.patch
        return shape.frames // t * (shape.height // h) * (shape.width // w)

    def rows(self, shape: Shape) -> int:
        """How many rows one forward pass of such videos may have; 1 where they share none."""
        if not self.batch_tokens:
            return 1
        return max(1, min(self.batch_tokens // self.tokens(shape), shape.passes * self.batch_requests))

    def convolutions(self, height: int, width: int, *, first: bool = False) -> Iterator[Conv]:
        """The decoder's convolutions for one latent frame of ``height`` x ``width``: ``AutoencoderKLWan``'s ``WanDecoder3d``
        (diffusers 0.42). The first latent frame makes one picture, every other as many as the steps in time double to.
        """
        frames, dims = 1, self.decoder

        def causal(inputs: int, outputs: int, taps: int = 27) -> Conv:
            size = {"frames": frames, "height": height, "width": width}
            return Conv(inputs=inputs, outputs=outputs, taps=taps, memory=2, **size)

        yield causal(self.channels, dims[0])
        for _ in range(4):
            yield causal(dims[0], dims[0])
        for level, (inputs, outputs) in enumerate(pairwise(dims)):
            entering = inputs // 2 if level and not self.residual else inputs
            for block in range(self.decoder_blocks + 1):
                yield causal(entering if block == 0 else outputs, outputs)
                yield causal(outputs, outputs)
            if level == len(dims) - 2:
                continue
            if self.decoder_temporal[level] and not first:
                yield causal(outputs, 2 * outputs, 3)
                frames *= 2
            height, width = 2 * height, 2 * width
            halved = outputs if self.residual else outputs // 2
            yield Conv(inputs=outputs, outputs=halved, taps=9, frames=frames, height=height, width=width)
        yield causal(dims[-1], self.decoder_out)
