"""Several videos of one shape through an expert together: each row with its own noise level and its own text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from generator_service.conditioning import Conditioner
from generator_service.text import PromptStates


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One video under one text: ``noisy`` is (1, channels, latent frames, height/8, width/8), ``t`` a scalar."""

    noisy: Tensor
    t: Tensor
    text: PromptStates


def velocities(
    expert: WanTransformer3DModel, rows: Sequence[Row], text: Conditioner, *, most: int, passes: Counter[int]
) -> list[Tensor]:
    """What ``expert`` predicts for each of ``rows``, at most ``most`` of them in a forward pass; ``passes`` counts those by
    their size.
    """
    # Rows with one text lie side by side: they share its keys and values.
    order = sorted(range(len(rows)), key=lambda i: rows[i].text.key.text)
    found: list[Tensor | None] = [None] * len(rows)
    for part in _parts(order, most):
        chosen = [rows[i] for i in part]
        with text.lent_many(expert, [row.text for row in chosen]) as states:
            made: Tensor = expert(
                hidden_states=torch.cat([row.noisy for row in chosen]),
                timestep=torch.stack([row.t for row in chosen]),
                encoder_hidden_states=states,
                return_dict=False,
            )[0]
        passes[len(part)] += 1
        for i, velocity in zip(part, made.split(1), strict=True):
            found[i] = velocity
    return [velocity for velocity in found if velocity is not None]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` split by ``weights``, in whole numbers that add up to it."""
    edges = [total * upto // sum(weights) for upto in accumulate(weights, initial=0)]
    return [upper - lower for lower, upper in pairwise(edges)]


def _parts(order: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """As few as may be, of about one size: a short last pass would cost nearly as much as a full one."""
    count = -(-len(order) // max(1, most))
    edges = [len(order) * k // count for k in range(count + 1)] if count else []
    return (order[lower:upper] for lower, upper in pairwise(edges))
