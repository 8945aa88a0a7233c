"""Memory that a step gave back is the next step's: else the kernel takes pages away and gives them again, cleared.

glibc maps large blocks one by one, and unmaps them when they are freed; it has a heap for every thread, and gives the top of it
back after every large ``free``. Steps make and drop the same blocks over and over, and each new page is a fault. One heap that
keeps what it has has none of it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import MutableMapping

# Names and numbers of malloc.h, see mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
# What is larger is mapped and unmapped each time, so that one huge block leaves no hole behind.
LARGE = 256 << 20
# No more than this is kept free at the end of the heap.
KEPT = 1 << 30


def keep() -> bool:
    """For the whole process, best before its threads begin. False where the C library is not glibc, and nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(*each) == 1 for each in ((ARENA_MAX, 1), (MMAP_THRESHOLD, LARGE), (TRIM_THRESHOLD, KEPT)))


def keep_on_device(environment: MutableMapping[str, str] = os.environ) -> None:
    """The same of a GPU's memory, best before torch is imported: steps, texts and decodes need blocks of many sizes, and holes between
    fixed segments would be room that the prediction counts and nobody can have. What an operator has set stays."""
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & environment.keys():
        environment["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
