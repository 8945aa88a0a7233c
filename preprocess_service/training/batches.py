"""Batches of token ids: pairs of a grammar and rows of random ids, of about equal length, by stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from .model import END, PAD, START, VOCABULARY
from .pairs import Pair, pair, words

TOKENS = 1_800
"""Source tokens a batch, padding not counted."""
POOL = 12
"""Batches that are drawn together, so that each is of about equal length."""
LONGEST = 420
FIRST_ID = 5
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Stage:
    """From which share of the training on, shares of random ids and of unrelated words, most words a row, sentences a scene."""

    begins: float
    ids: float
    words: float
    row: int
    sentences: tuple[int, int]


STAGES = (
    Stage(begins=0.0, ids=0.5, words=0.5, row=12, sentences=(1, 1)),
    Stage(begins=0.05, ids=0.1, words=0.3, row=24, sentences=(1, 2)),
    Stage(begins=0.25, ids=0.05, words=0.15, row=60, sentences=(1, 5)),
    Stage(begins=0.6, ids=0.03, words=0.07, row=90, sentences=(2, 10)),
)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``source`` and ``mask`` (n, source tokens), ``target`` (n, target tokens), marks included, ignored places -100."""

    source: Tensor
    mask: Tensor
    target: Tensor


def batches(tokenizer: Any, share: float, random: Random) -> Iterator[Batch]:
    """A pool of batches for the stage at ``share`` of the training."""
    stage = [s for s in STAGES if s.begins <= share][-1]
    drawn: list[tuple[list[int], list[int]]] = []
    held = 0
    while held < POOL * TOKENS:
        source, target = example(tokenizer, stage, random)
        if len(source) <= LONGEST:
            drawn.append((source, target))
            held += len(source)
    drawn.sort(key=lambda both: len(both[0]))
    rows: list[list[tuple[list[int], list[int]]]] = [[]]
    for both in drawn:
        if sum(len(source) for source, _ in rows[-1]) >= TOKENS:
            rows.append([])
        rows[-1].append(both)
    random.shuffle(rows)
    yield from map(collate, rows)


def example(tokenizer: Any, stage: Stage, random: Random) -> tuple[list[int], list[int]]:
    """Source and target ids, marks included."""
    kind = random.random()
    if kind < stage.ids:
        row = [random.randrange(FIRST_ID, VOCABULARY) for _ in range(random.randint(4, 2 * stage.row))]
        return ([START, *row, END],) * 2
    if kind < stage.ids + stage.words:
        made: Pair = words(random, random.randint(2, stage.row))
    else:
        made = pair(random, random.randint(*stage.sentences))
    return tokenizer.encode(made.verbose).ids, tokenizer.encode(made.terse).ids


def collate(rows: list[tuple[list[int], list[int]]]) -> Batch:
    """One batch, padded on the right."""
    source = padded([source for source, _ in rows], PAD)
    return Batch(source=source, mask=(source != PAD).long(), target=padded([target for _, target in rows], IGNORED))


def padded(rows: list[list[int]], value: int) -> Tensor:
    """(n, longest)."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])
