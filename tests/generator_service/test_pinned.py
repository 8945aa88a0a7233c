"""Pinned memory in large pieces."""

from __future__ import annotations

from itertools import pairwise

import torch
from diffusers import WanTransformer3DModel

from generator_service.models import wan22
from generator_service.pinned import Pieces


def test_a_full_size_expert_takes_little_more_than_its_bytes() -> None:
    """On torch's meta device, where nothing is allocated. Tensor by tensor it would be two fifths more."""
    with torch.device("meta"):
        expert = WanTransformer3DModel(**wan22.TRANSFORMER).to(torch.bfloat16)
    tensors = [*expert.parameters(), *expert.buffers()]
    size = sum(each.nbytes for each in tensors)
    assert sum(1 << (each.nbytes - 1).bit_length() for each in tensors) > 1.4 * size
    made: list[int] = []

    def make(size: int) -> torch.Tensor:
        made.append(size)
        return torch.empty(size, dtype=torch.uint8, device="meta")

    pieces = Pieces(size, make)
    assert all(pieces.keep(each).shape == each.shape for each in tensors)
    assert all(each & (each - 1) == 0 for each in made)
    assert size < sum(made) == pieces.bytes < 1.05 * size


def test_tensors_of_any_kind_lie_side_by_side_with_their_values() -> None:
    tensors = [
        torch.randn(3, 5),
        torch.randn(7).to(torch.bfloat16),
        torch.randn(4, 4).to(torch.float8_e4m3fn),
        torch.tensor(2.0),
        torch.randn(6, 2).t(),
        torch.arange(9, dtype=torch.int8),
    ]
    pieces = Pieces(sum(each.nbytes for each in tensors), lambda size: torch.empty(size, dtype=torch.uint8))
    kept = [pieces.keep(each) for each in tensors]
    for each, was in zip(kept, tensors, strict=True):
        assert each.dtype == was.dtype
        assert torch.equal(each.float(), was.float())
    begun = sorted((each.data_ptr(), each.nbytes) for each in kept)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(begun))
