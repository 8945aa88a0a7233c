"""Muon for every matrix and convolution, AdamW for the rest: about three times better a step than AdamW on these models.

Muon orthogonalises the momentum of each weight matrix by five Newton-Schulz iterations (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). torch.optim.Muon takes 2D weights only; convolutions are flattened here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum, each update orthogonalised and scaled by sqrt(max(1, rows / columns))."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # closures are not used here
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                velocity = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(velocity, group["momentum"]).flatten(1)
                alike.setdefault((update.shape[0], update.shape[1]), []).append((p, update))
            # Matrices of one shape go through the iteration together: many small products cost more than one batch.
            for (rows, columns), members in alike.items():
                scale = max(1.0, rows / columns) ** 0.5
                for (p, _), update in zip(members, orthogonal(torch.stack([u for _, u in members])), strict=True):
                    p.add_(update.view_as(p), alpha=-group["lr"] * scale)


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix to each of ``g`` (n, rows, columns), up to the loose tolerance that Muon needs."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g.shape[-2] <= g.shape[-1]
    x = g if wide else g.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def optimizers(model: nn.Module, lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon over weights of two dimensions and more (embeddings excepted), AdamW over the rest."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1]
    matrices = [p for p in matrices if id(p) not in embeddings]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    return [Muon(matrices, lr=lr), torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0)]


def set_rate(optimizer_list: list[torch.optim.Optimizer], fraction: float) -> None:
    """Scale every learning rate to ``fraction`` of what it was made with."""
    for optimizer in optimizer_list:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * fraction
