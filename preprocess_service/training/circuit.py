"""Where training begins: a model that can already find the word after the one that it wrote last, and copies it a little.

Copying by attention takes two steps (Olsson et al. 2022, "In-context learning and induction heads"): every token of the source
notes which token stands before it, and the decoder looks for the token that notes the one written last. From random matrices
neither was learned in 48,000 short examples, and one CPU thread has no time for many more; so both are put there, softly,
and training goes on from them with all weights free.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOOK_PLACE, LOOK_WORD, NOTE, COPY = 2.5, 2.0, 1.0, 2.0
"""Sizes of the maps: how sharply a place and a word are looked for, how strongly the word before is noted, the found one copied."""


def incline(attend_before: Any, attend_source: Any, rotation: Tensor, place: int, heads: int) -> None:
    """Write the circuit into the encoder's first self-attention and a cross-attention of the decoder.

    ``rotation`` (place, place) turns the place code of a token into that of the token before. The first ``place`` dimensions
    (one head's width) hold the place, the others the word; one head each carries a part of the word.
    """
    width = attend_before.q_proj.weight.shape[0]
    noted, _ = torch.linalg.qr(torch.randn(width - place, width - place))
    for head in range(heads - 1):
        rows = slice(head * place, (head + 1) * place)
        word = slice((head + 1) * place, (head + 2) * place)
        attend_before.q_proj.weight[rows, :place] += LOOK_PLACE * rotation
        attend_before.k_proj.weight[rows, :place] += LOOK_PLACE * torch.eye(place)
        attend_before.v_proj.weight[rows, word] += torch.eye(place)
        attend_before.out_proj.weight[place:, rows] += NOTE * noted[:, head * place : (head + 1) * place]
        attend_source.q_proj.weight[rows, place:] += LOOK_WORD * noted[head * place : (head + 1) * place]
        attend_source.k_proj.weight[rows, word] += LOOK_WORD * torch.eye(place)
        attend_source.v_proj.weight[rows, word] += torch.eye(place)
        attend_source.out_proj.weight[word, rows] += COPY * torch.eye(place)
