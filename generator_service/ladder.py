"""What a request does when the device has no room for its next step: it goes down a rung and runs again, from its snapshot,
its latents or its start. The process lives on.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from generator_service.core import Rung, Stage

if TYPE_CHECKING:
    import torch

# None of these breaks the context, though torch raises the first one as it raises those that do.
REFUSALS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
ON_CUDA = tuple(Rung)
# Nowhere to offload to: the host's memory is the device.
ON_CPU = (Rung.PLAIN, Rung.TILED, Rung.ALONE)


def rungs(device: str) -> tuple[Rung, ...]:
    """The rungs of a kind of device ("cuda", "cpu"), from the top."""
    return ON_CUDA if device == "cuda" else ON_CPU


def within(there: tuple[Rung, ...], may_offload: str) -> tuple[Rung, ...]:
    """Of the rungs of a device those that help a tier with this `Tier.may_offload`."""
    useless = {"none": {Rung.EXPERT_OFFLOADED, Rung.GROUPS_OFFLOADED}, "expert": {Rung.GROUPS_OFFLOADED}}
    return tuple(each for each in there if each not in useless.get(may_offload, ()))


def below(rung: Rung, stage: Stage, there: tuple[Rung, ...]) -> Rung | None:
    """The next rung that can help where memory ran out in ``stage``; None at the foot of the ladder."""
    lower = [each for each in there if each > rung and (each is not Rung.TILED or stage is Stage.DECODE)]
    return min(lower, default=None)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device's allocator refused, or what asks the device past it: CUDA's own calls, such as for pinned memory, and its
    libraries for their scratch. By name, so that nobody imports torch to ask."""
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(refusal in str(error) for refusal in REFUSALS)


def relieve(device: torch.device) -> None:
    """Gives back what a failed step left. Frames of a traceback hold tensors: drop the error first."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
