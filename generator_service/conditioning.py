"""The text of one tier's requests: what the encoder made of a prompt, and what each expert made of that, each made once.

Equal texts share: the negative prompt that every request has is encoded once. Both caches forget the least recently used
and are bounded by settings of the tier; what was forgotten is made again, so a bound costs time and never a video.

One thread at a time, the one that steps: nothing here locks.
"""

from __future__ import annotations

import torch

from generator_service import swap, text
from generator_service.core import Take
from generator_service.lending import MIB, Lender
from generator_service.lru import ByteLRU
from generator_service.text import PromptStates, StatesKey
from generator_service.wan import Components


class Conditioner(Lender):
    """Belongs to the components of one tier; ``states`` and ``kvs`` are its caches, whose counts say that they work."""

    def __init__(self, parts: Components) -> None:
        super().__init__(parts.tier, parts.transformer, parts.transformer_2)
        self._parts = parts
        bound = parts.tier.text_states_mib * MIB
        self.states: ByteLRU[StatesKey, PromptStates] = ByteLRU(bound, lambda each: each.nbytes)

    def encode(self, prompt: str) -> PromptStates:
        """States of ``prompt``. Raises `text.PromptTooLongError`."""
        key = self._key(prompt)
        return self.states.get(key, lambda: self._encoded(key))

    def missing(self, take: Take) -> int:
        """How many texts of ``take`` would have to be encoded now. Any thread may ask: it only looks."""
        prompts = {take.prompt} if take.guidance <= 1.0 else {take.prompt, take.negative_prompt}
        return sum(self._key(prompt) not in self.states for prompt in prompts)

    def _key(self, prompt: str) -> StatesKey:
        parts = self._parts
        window = parts.tier.max_sequence_length
        return StatesKey(
            encoder=parts.encoder_fingerprint, text=prompt, window=window, dtype=parts.dtype, device=parts.device
        )

    def clear(self) -> None:
        """Gives all memory of both caches back; for when the device has too little."""
        super().clear()
        self.states.clear()

    def _encoded(self, key: StatesKey) -> PromptStates:
        """A text encoder that swaps is on the device for this text only."""
        parts = self._parts
        visit = swap.of(parts.text_encoder)
        try:
            if visit is not None:
                visit.bring(parts.text_encoder)
            found = text.prompt_states(key, parts.tokenizer, parts.text_encoder)
            if parts.device.type == "cuda":
                # Else its time would be that of the first denoise step, which waits.
                torch.cuda.synchronize(parts.device)
            return found
        finally:
            if visit is not None:
                visit.leave()
