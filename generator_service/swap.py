"""Two experts in the room of one: their weights stay in the host's memory, and the one that is called comes to the device. A text
encoder alone, which comes for each text that is new and goes again.

Weights never change, so nothing is ever copied back: whoever goes is forgotten, and who comes is copied from pinned memory, at the
speed of the bus. accelerate's hooks, which this stands instead of, copy both ways through pageable memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from generator_service.pinned import Pieces

HOST = torch.device("cpu")


class Swap:
    """Over ``experts``, of which one at a time is on ``device``. ``swaps`` counts how often one came."""

    def __init__(self, experts: Sequence[nn.Module], device: torch.device) -> None:
        self._device = device
        self._experts = list(experts)
        self._kept = [_on_host(expert, pinned=device.type == "cuda") for expert in self._experts]
        self._handles = [each.register_forward_pre_hook(self._called) for each in self._experts]
        self._here: nn.Module | None = None
        self.swaps = 0
        for expert in self._experts:
            self._forget(expert)
            expert._reelgate_swap = self  # type: ignore[assignment]

    @property
    def here(self) -> nn.Module | None:
        """The expert whose weights are on the device."""
        return self._here

    def bring(self, expert: nn.Module) -> None:
        """``expert`` is on the device when this returns, and the others are not."""
        if self._here is expert:
            return
        self.leave()
        try:
            for tensor, kept in self._kept_of(expert):
                tensor.data = torch.empty_like(kept, device=self._device).copy_(kept, non_blocking=True)
        except BaseException:  # there is no room for it: half of it would stay, and take the other one's
            self._forget(expert)
            raise
        self._here = expert
        self.swaps += 1

    def leave(self) -> None:
        """Nobody is on the device when this returns."""
        if self._here is not None:
            self._forget(self._here)
        self._here = None

    def remove(self) -> None:
        """The experts are in the host's memory, as plain modules."""
        for handle in self._handles:
            handle.remove()
        for expert in self._experts:
            self._forget(expert)
            del expert._reelgate_swap
        self._here = None

    def _called(self, expert: nn.Module, _: Any) -> None:
        self.bring(expert)

    def _forget(self, expert: nn.Module) -> None:
        for tensor, kept in self._kept_of(expert):
            tensor.data = kept

    def _kept_of(self, expert: nn.Module) -> list[tuple[Tensor, Tensor]]:
        kept = self._kept[self._experts.index(expert)]
        return list(zip(_tensors(expert), kept, strict=True))


def of(expert: nn.Module) -> Swap | None:
    """The swap that ``expert`` takes part in."""
    found: Swap | None = getattr(expert, "_reelgate_swap", None)
    return found


def _tensors(expert: nn.Module) -> list[Tensor]:
    return [*expert.parameters(), *expert.buffers()]


def _on_host(expert: nn.Module, *, pinned: bool) -> list[Tensor]:
    """Copies where the tensors lie elsewhere, and where they are to be pinned and are not. One by one: a whole expert at once would need
    its size again."""
    found, pieces = [], Pieces(sum(each.nbytes for each in _tensors(expert)))
    for tensor in _tensors(expert):
        kept = tensor.data.to(HOST)
        found.append(pieces.keep(kept) if pinned and not kept.is_pinned() else kept)
        tensor.data = found[-1]
    return found
