"""Counts the bytes of tensors on a CPU, and plays a device of a given size.

A GPU's allocator says how much it holds; a CPU's does not. Here every operation's outputs are counted while their storage
lives, so peaks are exact for tensors and the same on every machine; scratch inside an operation is not seen. With a limit
the operation that would pass it raises ``torch.OutOfMemoryError``, as a GPU's allocator does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Allocations(TorchDispatchMode):
    """Counts while entered (again and again if need be); what was made inside is counted until it is freed.

    ``held``: bytes that are there already, such as weights. ``limit``: None counts only.
    """

    def __init__(self, *, held: int = 0, limit: int | None = None) -> None:
        super().__init__()
        self.live = held
        self.peak = held
        self.limit = limit
        self._known: dict[int, weakref.finalize[..., Any]] = {}

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs = function(*args, **(kwargs or {}))
        given = {id(each.untyped_storage()) for each in tree_iter((args, kwargs)) if isinstance(each, torch.Tensor)}
        for each in tree_iter(outputs):
            if isinstance(each, torch.Tensor) and id(storage := each.untyped_storage()) not in given:
                self._count(storage)
        return outputs

    def start(self) -> None:
        """Peaks are counted from here."""
        self.peak = self.live

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        if self.limit is not None and self.live + size > self.limit:
            raise torch.OutOfMemoryError(f"{size} bytes more than {self.limit - self.live} that are free")
        self.live += size
        self.peak = max(self.peak, self.live)
        self._known[key] = weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self.live -= size
