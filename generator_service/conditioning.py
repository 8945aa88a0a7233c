"""The text of one tier's requests: what the encoder made of a prompt, and what each expert made of that, each made once.

Equal texts share: the negative prompt that every request has is encoded once. Both caches forget the least recently used
and are bounded by settings of the tier; what was forgotten is made again, so a bound costs time and never a video.

One thread at a time, the one that steps: nothing here locks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from generator_service import offload, swap, text, text_kv
from generator_service.core import Take
from generator_service.lru import ByteLRU
from generator_service.text import PromptStates, StatesKey
from generator_service.text_kv import TextKV
from generator_service.wan import Components

MIB = 1 << 20


class Conditioner:
    """Belongs to the components of one tier; ``states`` and ``kvs`` are its caches, whose counts say that they work."""

    def __init__(self, parts: Components) -> None:
        tier = parts.tier
        self._parts = parts
        self.states: ByteLRU[StatesKey, PromptStates] = ByteLRU(tier.text_states_mib * MIB, lambda each: each.nbytes)
        self.kvs: ByteLRU[tuple[StatesKey, str], TextKV] = ByteLRU(tier.text_kv_mib * MIB, lambda each: each.nbytes)
        # Where nothing is kept of a text between the steps, its padded window is: that of as many as a request or two read.
        self._padded = lru_cache(maxsize=4)(PromptStates.padded)
        if tier.text_kv:
            for expert in (parts.transformer, parts.transformer_2):
                if expert is not None:
                    text_kv.install(expert)

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

    @contextmanager
    def lent(self, expert: WanTransformer3DModel, states: PromptStates) -> Iterator[Tensor]:
        """While the block lasts, ``expert`` reads the text of ``states``; yields what to pass as its
        ``encoder_hidden_states``.

        With ready-made keys and values that is one row: nobody reads it but for its type, and projecting it costs next
        to nothing. An expert whose weights are off the device gets the text itself: its projections are there only
        inside its forward, where they make the same bits at every step.
        """
        tier = self._parts.tier
        if not tier.text_kv:
            yield self._padded(states)
            return
        if offload.away(expert):
            rows, bias = text_kv.fold(states.real, states.key.window) if tier.fold_text else (states.padded(), None)
            with text_kv.biased(expert, bias):
                yield rows
            return
        with text_kv.lent(expert, self._kv(expert, states)):
            yield states.real[:, :1]

    @contextmanager
    def lent_many(self, expert: WanTransformer3DModel, states: Sequence[PromptStates]) -> Iterator[Tensor]:
        """As `lent`, for a batch whose videos read ``states``, one each; equal ones should lie side by side."""
        if not self._parts.tier.text_kv or offload.away(expert):
            yield torch.cat([each.padded() for each in states])
            return
        runs = [list(run) for _, run in groupby(states, key=lambda each: each.key)]
        with text_kv.lent_many(expert, [(len(run), self._kv(expert, run[0])) for run in runs]):
            yield states[0].real[:, :1]

    def clear(self) -> None:
        """Gives all memory of both caches back; for when the device has too little."""
        self.states.clear()
        self.kvs.clear()
        self._padded.cache_clear()

    def _encoded(self, key: StatesKey) -> PromptStates:
        """A text encoder that swaps is on the device for this text only."""
        parts = self._parts
        visit = swap.of(parts.text_encoder)
        if visit is None:
            return text.prompt_states(key, parts.tokenizer, parts.text_encoder)
        try:
            visit.bring(parts.text_encoder)
            return text.prompt_states(key, parts.tokenizer, parts.text_encoder)
        finally:
            visit.leave()

    def _kv(self, expert: WanTransformer3DModel, states: PromptStates) -> TextKV:
        name = "transformer" if expert is self._parts.transformer else "transformer_2"
        return self.kvs.get((states.key, name), lambda: self._project(expert, states))

    def _project(self, expert: WanTransformer3DModel, states: PromptStates) -> TextKV:
        if self._parts.tier.fold_text:
            return text_kv.folded(expert, states.real, states.key.window)
        return text_kv.project(expert, states.padded())
