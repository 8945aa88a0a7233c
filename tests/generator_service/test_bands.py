"""Bands have the pixels of the whole decode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from hypothesis import given
from hypothesis import strategies as st

from generator_service import decoding
from generator_service.bands import WHOLE, Band, bands, cut_behind_the_middle, reach
from generator_service.engine import Engine
from generator_service.models import wan22


def frames(vae: AutoencoderKLWan, latents: torch.Tensor, band: Band | None = None) -> torch.Tensor:
    """Every picture, or the band's own part of it."""
    state, found = decoding.begin(vae, latents), []
    while not state.done:
        made = decoding.levels(vae, state, band.window if band else WHOLE)
        found.append(band.cut(made, vae.config["scale_factor_spatial"]) if band else made)
    return torch.cat(found)


def differences(vae: AutoencoderKLWan, shape: tuple[int, ...], parts: int, around: int) -> np.ndarray:
    """Levels between the whole decode and one in so many bands that see ``around`` latents of their neighbours."""
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        whole = frames(vae, latents)
        found = [frames(vae, latents, band) for band in bands(shape[3], shape[4], parts, around)]
    along = 1 if shape[3] > shape[4] else 2
    return np.abs(torch.cat(found, dim=along).numpy().astype(int) - whole.numpy())


@pytest.mark.parametrize(("shape", "parts"), [((1, 16, 3, 4, 40), 2), ((1, 16, 2, 40, 4), 3), ((1, 16, 2, 4, 6), 8)])
def test_bands_that_see_far_enough_have_the_pixels_of_the_whole(
    engine: Engine, shape: tuple[int, ...], parts: int
) -> None:
    vae = engine.parts.vae
    apart = differences(vae, shape, parts, reach(vae.config))
    # A convolution of another size adds up in another order: a level may round the other way.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


def test_bands_that_see_less_have_seams(engine: Engine) -> None:
    """So the reach is no larger than it must be by more than a latent, and this test can see a seam."""
    vae = engine.parts.vae
    assert differences(vae, (1, 16, 3, 4, 40), 2, reach(vae.config) // 3).max() > 1


def test_the_decoder_of_ti2v_is_cut_alike() -> None:
    """Its blocks upsample with a shortcut, and its pictures come in patches."""
    torch.manual_seed(3)
    small = {**wan22.VAE_5B, "base_dim": 8, "decoder_base_dim": 8, "num_res_blocks": 1}
    vae = AutoencoderKLWan(**small, latents_mean=[0.0] * 48, latents_std=[1.0] * 48).eval()
    apart = differences(vae, (1, 48, 2, 2, 40), 2, reach(vae.config))
    assert apart.max() <= 1


def test_the_reach_of_the_published_decoders() -> None:
    assert reach(wan22.VAE) == 13
    assert reach(wan22.VAE_5B) == 13


@given(height=st.integers(1, 200), width=st.integers(1, 200), parts=st.integers(1, 9), around=st.integers(0, 20))
def test_bands_cover_every_latent_once(height: int, width: int, parts: int, around: int) -> None:
    found, length = bands(height, width, parts, around), max(height, width)
    assert [place for band in found for place in range(band.first, band.last)] == list(range(length))
    for band in found:
        assert band.start == max(0, band.first - around)
        assert band.stop == min(length, band.last + around)


def test_a_decoder_that_fails_is_left_whole(engine: Engine) -> None:
    vae = engine.parts.vae
    with pytest.raises(TypeError), cut_behind_the_middle(vae, (slice(0, 1), slice(0, 1))):
        vae.decoder()
    assert not vae.decoder.mid_block._forward_hooks
