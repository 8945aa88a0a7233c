"""Lends a text to an expert for a pass: its keys and values where they are kept, else its states.

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

from generator_service import offload, text_kv
from generator_service.lru import ByteLRU
from generator_service.text import PromptStates, StatesKey
from generator_service.text_kv import TextKV
from generator_service.tier import Tier

MIB = 1 << 20


class Lender:
    """Over the experts of one tier, ``low`` None where there is one; ``kvs`` is its cache."""

    def __init__(self, tier: Tier, high: WanTransformer3DModel, low: WanTransformer3DModel | None) -> None:
        self._tier, self._high = tier, high
        self.kvs: ByteLRU[tuple[StatesKey, str], TextKV] = ByteLRU(tier.text_kv_mib * MIB, lambda each: each.nbytes)
        # Where nothing is kept of a text between the steps, its padded window is: that of as many as a request or two read.
        self._padded = lru_cache(maxsize=4)(PromptStates.padded)
        if tier.text_kv:
            for expert in (high, low):
                if expert is not None:
                    text_kv.install(expert)

    def velocity(self, expert: WanTransformer3DModel, noisy: Tensor, t: Tensor, states: PromptStates) -> Tensor:
        """One pass: what ``expert`` makes of ``noisy``, (1, channels, frames, height, width), at timestep ``t`` for the text of
        ``states``; of the shape and type of ``noisy``."""
        with self.lent(expert, states) as rows:
            made: Tensor = expert(
                hidden_states=noisy, timestep=t.expand(1), encoder_hidden_states=rows, return_dict=False
            )[0]
        return made

    @contextmanager
    def lent(self, expert: WanTransformer3DModel, states: PromptStates) -> Iterator[Tensor]:
        """While the block lasts, ``expert`` reads the text of ``states``; yields what to pass as its
        ``encoder_hidden_states``.

        With ready-made keys and values that is one row: nobody reads it but for its type, and projecting it costs next
        to nothing. An expert whose weights are off the device gets the text itself: its projections are there only
        inside its forward, where they make the same bits at every step.
        """
        if not self._tier.text_kv:
            yield self._padded(states)
            return
        if offload.away(expert):
            rows, bias = (
                text_kv.fold(states.real, states.key.window) if self._tier.fold_text else (states.padded(), None)
            )
            with text_kv.biased(expert, bias):
                yield rows
            return
        with text_kv.lent(expert, self._kv(expert, states)):
            yield states.real[:, :1]

    @contextmanager
    def lent_many(self, expert: WanTransformer3DModel, states: Sequence[PromptStates]) -> Iterator[Tensor]:
        """As `lent`, for a batch whose videos read ``states``, one each; equal ones should lie side by side."""
        if not self._tier.text_kv or offload.away(expert):
            yield torch.cat([each.padded() for each in states])
            return
        runs = [list(run) for _, run in groupby(states, key=lambda each: each.key)]
        with text_kv.lent_many(expert, [(len(run), self._kv(expert, run[0])) for run in runs]):
            yield states[0].real[:, :1]

    def clear(self) -> None:
        """Gives all memory back."""
        self.kvs.clear()
        self._padded.cache_clear()

    def _kv(self, expert: WanTransformer3DModel, states: PromptStates) -> TextKV:
        name = "transformer" if expert is self._high else "transformer_2"
        return self.kvs.get((states.key, name), lambda: self._project(expert, states))

    def _project(self, expert: WanTransformer3DModel, states: PromptStates) -> TextKV:
        if self._tier.fold_text:
            return text_kv.folded(expert, states.real, states.key.window)
        return text_kv.project(expert, states.padded())
