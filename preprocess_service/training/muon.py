"""Muon for the matrices, AdamW for embeddings, norms and biases.

Muon makes each update of a matrix orthogonal by five Newton-Schulz iterations (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). torch.optim.Muon does so in bfloat16, matrix by matrix, which a CPU does slowly.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon:
    """Nesterov momentum over matrices; those of one shape are made orthogonal together."""

    def __init__(self, matrices: list[nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        shapes: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            shapes[tuple(matrix.shape)].append(matrix)
        self.groups = list(shapes.values())
        self.velocities = [torch.zeros(len(group), *group[0].shape) for group in self.groups]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, velocity in zip(self.groups, self.velocities, strict=True):
            gradient = torch.stack([m.grad if m.grad is not None else torch.zeros_like(m) for m in group])
            velocity.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(velocity, self.momentum))
            scale = rate * max(1.0, update.shape[1] / update.shape[2]) ** 0.5
            for matrix, change in zip(group, update, strict=True):
                matrix.sub_(change, alpha=scale)


def orthogonal(stack: Tensor, steps: int = 5) -> Tensor:
    """About the nearest semi-orthogonal matrix to each of ``stack`` (n, rows, columns)."""
    first, second, third = COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = first * x + (second * gram + third * gram @ gram) @ x
    return x.mT if tall else x
