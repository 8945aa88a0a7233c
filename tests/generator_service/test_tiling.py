"""The decode in tiles against the whole decode, on random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generator_service import tiling
from generator_service.engine import Engine, Pictures


def whole(engine: Engine, latents: torch.Tensor) -> Pictures:
    state, pieces = engine.begin_decode(latents), []
    while not state.done:
        pieces.append(engine.decode(state))
    return np.concatenate(pieces)


def tiled(engine: Engine, latents: torch.Tensor) -> tuple[Pictures, int]:
    state, pieces = tiling.begin(engine, latents), []
    while not state.done:
        pieces.append(tiling.decode(engine, state))
    assert all(len(piece) == 0 for piece in pieces[:-1])
    return np.concatenate(pieces), state.steps


@pytest.mark.parametrize("shape", [(1, 16, 3, 8, 8), (1, 16, 1, 6, 16), (1, 16, 2, 4, 10)])
def test_tiles_make_the_same_pictures_but_for_the_seams(engine: Engine, shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    expected, (found, steps) = whole(engine, latents), tiled(engine, latents)
    assert found.shape == expected.shape
    assert steps == 4 * shape[2]
    error = found.astype(float) - expected
    # A tile in a wrong place has an error of 1.4 standard deviations.
    # One whose middle block sees the tile alone has up to 0.7.
    assert np.sqrt((error**2).mean()) < 0.4 * expected.std()
    corner = np.abs(error[:, :8, :8]).mean()
    middle = np.abs(error[:, error.shape[1] // 2 - 4 : error.shape[1] // 2 + 4]).mean()
    assert corner < middle


def test_a_single_place_needs_no_tiles(engine: Engine) -> None:
    latents = torch.randn((1, 16, 2, 1, 1), generator=torch.Generator().manual_seed(3))
    found, steps = tiled(engine, latents)
    assert steps == 2
    # The canvas is in float16: a rounding of the last level may go the other way.
    assert np.abs(found.astype(int) - whole(engine, latents)).max() <= 1


def test_tiled_decodes_can_be_interleaved(engine: Engine) -> None:
    latents = [torch.randn((1, 16, 2, 4, 4), generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    alone = [tiled(engine, each)[0] for each in latents]
    states = [tiling.begin(engine, each) for each in latents]
    while not states[0].done:
        last = [tiling.decode(engine, state) for state in states]
    for found, expected in zip(last, alone, strict=True):
        assert np.array_equal(found, expected)
