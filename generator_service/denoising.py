"""A take in the middle of its steps."""

from __future__ import annotations

import dataclasses

from diffusers import UniPCMultistepScheduler
from torch import Tensor

from generator_service.core import Take
from generator_service.guidance import Direction
from generator_service.step_cache import Ticket
from generator_service.text import PromptStates


@dataclasses.dataclass(kw_only=True)
class Denoising:
    """A take on its way. ``latents`` is fp32 (1, channels, latent frames, height/8, width/8); ``index`` steps are done.

    ``negative`` is None where guidance is off. ``direction`` and ``ticket`` are what a tier that thins out guidance or skips
    work keeps from step to step; they are in no snapshot.
    """

    take: Take
    latents: Tensor
    prompt: PromptStates
    negative: PromptStates | None
    scheduler: UniPCMultistepScheduler
    index: int = 0
    direction: Direction | None = None
    ticket: Ticket | None = None

    @property
    def done(self) -> bool:
        return self.index >= len(self.scheduler.timesteps)
