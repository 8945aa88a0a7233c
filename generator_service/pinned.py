"""Pinned memory of the host in a few large pieces.

CUDA's allocator in torch rounds every request for pinned memory up to a power of two: tensor by tensor A14B's two experts, 57 GB in bf16,
would take 82. Here a piece is a power of two to begin with, and tensors lie in it side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 4 << 30
# As far apart as the allocator's own tensors may begin.
APART = 512


def pinned(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


class Pieces:
    """Room for ``total`` bytes of tensors to come; ``make`` gives so many bytes."""

    def __init__(self, total: int, make: Callable[[int], Tensor] = pinned) -> None:
        self._left, self._make = total, make
        self._piece: Tensor | None = None
        self._used = 0
        self.bytes = 0

    def keep(self, tensor: Tensor) -> Tensor:
        """A copy of ``tensor`` in a piece, contiguous; what it lies in is freed with the last one there."""
        room = -(-tensor.nbytes // APART) * APART
        if self._piece is None or self._used + room > len(self._piece):
            # The last ones ever smaller, so that little of them is left over.
            size = max(_ceil(room), min(PIECE, _ceil(self._left + 1) // 2))
            self._piece, self._used = self._make(size), 0
            self.bytes += size
        place = self._piece[self._used : self._used + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        self._used += room
        self._left -= tensor.nbytes
        return place.copy_(tensor)


def _ceil(size: int) -> int:
    """The power of two that holds ``size``."""
    return 1 << max(0, size - 1).bit_length()
