"""Keys and values that go around give what attention over all of them at once does."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.nn.functional import scaled_dot_product_attention

from generator_service import ring

HEADS, TOKENS, WIDTH = 4, 24, 16


def drawn(scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of all processes; with ``scale`` the scores of one are far from those of another."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, HEADS, TOKENS, WIDTH)
    return query, key * torch.linspace(-scale, scale, TOKENS)[:, None], value


def one_of(rank: int, size: int, store: str, scale: float, dtype: torch.dtype, out: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    query, key, value = (each.to(dtype).chunk(size, dim=2)[rank] for each in drawn(scale))
    torch.save(ring.around(query.contiguous(), torch.stack([key, value])), f"{out}{rank}")
    distributed.destroy_process_group()


def together(folder: Path, size: int, scale: float, dtype: torch.dtype) -> Tensor:
    """What ``size`` processes have, in their order."""
    fork = multiprocessing.get_context("fork")
    about = (size, str(folder / "store"), scale, dtype, str(folder / "part"))
    processes = [fork.Process(target=one_of, args=(rank, *about)) for rank in range(size)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(60)
        assert each.exitcode == 0
    return torch.cat([torch.load(folder / f"part{rank}") for rank in range(size)], dim=2)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("scale", "error"), [(1.0, 1e-6), (300.0, 1e-4)], ids=["even", "far apart"])
def test_a_ring_attends_to_everything(tmp_path: Path, size: int, scale: float, error: float) -> None:
    """Three do not divide the heads. A logarithm near a thousand is known to the fourth place only."""
    found = together(tmp_path, size, scale, torch.float32)
    query, key, value = drawn(scale)
    torch.testing.assert_close(found, scaled_dot_product_attention(query, key, value), rtol=error, atol=error)


def test_partial_results_are_joined_in_fp32(tmp_path: Path) -> None:
    found = together(tmp_path, 3, 1.0, torch.bfloat16)
    query, key, value = (each.bfloat16().float() for each in drawn(1.0))
    expected = scaled_dot_product_attention(query, key, value)
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 6e-3


def test_pairs_of_numbers_are_turned_by_their_position() -> None:
    heads, angles = torch.randn(1, 5, 2, 4), torch.rand(1, 5, 1, 2)
    turned = ring.rotated(heads, angles.cos().repeat_interleave(2, -1), angles.sin().repeat_interleave(2, -1))
    as_complex = torch.view_as_complex(heads.view(1, 5, 2, 2, 2)) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.view_as_real(as_complex).flatten(-2))
