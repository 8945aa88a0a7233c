"""AutoencoderKLWan over a whole clip at once, for training.

diffusers runs the VAE chunk by chunk with a feature cache; gradients through that are slow on a CPU. Every causal
convolution over time equals one 2D convolution over three stacked frames, so a whole clip is one pass of 2D convolutions
(equal to 4e-6 in fp32; a test holds it). Tensors are (batch * frames, channels, height, width); ``t`` is the frame count.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanCausalConv3d,
    WanResample,
    WanResidualBlock,
    patchify,
    unpatchify,
)
from torch import Tensor, nn


def encode(vae: AutoencoderKLWan, video: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the latents, each (batch, channels, latent frames, h, w), of a video in [-1, 1].

    ``video`` is (batch, 3, frames, height, width) with 4k+1 frames.
    """
    x, t = _flat(patchify(video, vae.config.patch_size or 1))
    encoder = vae.encoder
    x = _conv(encoder.conv_in, x, t)
    for layer in encoder.down_blocks:
        if isinstance(layer, WanResample):
            x, t = _downsample(layer, x, t)
        else:
            x = _block(layer, x, t)
    x = _mid(encoder.mid_block, x, t)
    x = _conv(encoder.conv_out, F.silu(_norm(encoder.norm_out, x)), t)
    mean, logvar = _clip(_conv(vae.quant_conv, x, t), t).chunk(2, dim=1)
    return mean, logvar


def decode(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """The video (batch, 3, frames, height, width), not clamped, of latents (batch, channels, latent frames, h, w)."""
    x, t = _flat(latents)
    x = _conv(vae.post_quant_conv, x, t)
    decoder = vae.decoder
    x = _mid(decoder.mid_block, _conv(decoder.conv_in, x, t), t)
    for up in decoder.up_blocks:
        for resnet in up.resnets:
            x = _block(resnet, x, t)
        if up.upsamplers is not None:
            x, t = _upsample(up.upsamplers[0], x, t)
    x = _conv(decoder.conv_out, F.silu(_norm(decoder.norm_out, x)), t)
    return unpatchify(_clip(x, t), vae.config.patch_size or 1)


def _flat(x: Tensor) -> tuple[Tensor, int]:
    t = x.shape[2]
    return x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last), t


def _clip(x: Tensor, t: int) -> Tensor:
    return x.unflatten(0, (-1, t)).transpose(1, 2)


def _conv(conv: WanCausalConv3d, x: Tensor, t: int) -> Tensor:
    k = conv.kernel_size[0]
    weight = conv.weight.transpose(1, 2).flatten(1, 2)
    if k > 1:
        frames = F.pad(x.unflatten(0, (-1, t)), (0, 0, 0, 0, 0, 0, k - 1, 0))
        x = torch.cat([frames[:, i : i + t] for i in range(k)], dim=2).flatten(0, 1)
    x = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, conv.bias, padding=(conv._padding[2], conv._padding[0]))


def _norm(norm: Any, x: Tensor) -> Tensor:
    return F.normalize(x, dim=1) * norm.scale * norm.gamma.reshape(1, -1, 1, 1)


def _block(block: WanResidualBlock, x: Tensor, t: int) -> Tensor:
    shortcut = x if isinstance(block.conv_shortcut, nn.Identity) else _conv(block.conv_shortcut, x, t)
    x = _conv(block.conv1, F.silu(_norm(block.norm1, x)), t)
    return _conv(block.conv2, F.silu(_norm(block.norm2, x)), t) + shortcut


def _mid(mid: Any, x: Tensor, t: int) -> Tensor:
    x = _block(mid.resnets[0], x, t)
    for attention, resnet in zip(mid.attentions, mid.resnets[1:], strict=True):
        x = _block(resnet, _attend(attention, x), t)
    return x


def _attend(block: WanAttentionBlock, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    qkv = block.to_qkv(_norm(block.norm, x)).reshape(n, 1, 3 * c, h * w).transpose(2, 3)
    q, k, v = qkv.contiguous().chunk(3, dim=-1)
    out = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2).reshape(n, c, h, w)
    return x + block.proj(out)


def _downsample(layer: WanResample, x: Tensor, t: int) -> tuple[Tensor, int]:
    x = layer.resample(x)
    if layer.mode != "downsample3d":
        return x, t
    frames = x.unflatten(0, (-1, t))
    half = (t - 1) // 2
    if half == 0:
        return x, t
    stacked = torch.cat([frames[:, i : i + 2 * half : 2] for i in range(3)], dim=2).flatten(0, 1)
    weight = layer.time_conv.weight.transpose(1, 2).flatten(1, 2)
    later = F.conv2d(stacked, weight, layer.time_conv.bias).unflatten(0, (-1, half))
    return torch.cat([frames[:, :1], later], dim=1).flatten(0, 1), half + 1


def _upsample(layer: WanResample, x: Tensor, t: int) -> tuple[Tensor, int]:
    if layer.mode == "upsample3d" and t > 1:
        frames = x.unflatten(0, (-1, t))
        later = _conv(layer.time_conv, frames[:, 1:].flatten(0, 1), t - 1)
        pairs = later.unflatten(0, (-1, t - 1)).unflatten(2, (2, -1)).flatten(1, 2)
        x, t = torch.cat([frames[:, :1], pairs], dim=1).flatten(0, 1), 2 * t - 1
    return layer.resample(x), t
