"""Trains the text encoder alone: every token's state must tell all four attributes of the caption, or that it is not said.

So the denoiser can read the whole scene from any token. ``python -m generator_service.models.training.text --steps 3000``
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from generator_service.models.blueprint import TEXT_DIM, build_text_encoder
from generator_service.models.training import muon, state
from generator_service.models.training.captions import negative, plain_filler
from generator_service.models.training.data import draw_caption, training_scenes
from generator_service.models.training.world import BACKGROUNDS, COLORS, MOTIONS, SHAPES, Scene

STATE = "text.pt"
TOKENIZER = Path(__file__).parents[1] / "embedded" / "tokenizer" / "spiece.model"
CLASSES: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "motion": MOTIONS,
    "background": tuple(BACKGROUNDS),
}
MIRROR = {"left": "right", "right": "left", "up": "down", "down": "up"}
END = 1
LONGEST = 160


class Reader(nn.Module):
    """The encoder with one linear head an attribute; the heads are thrown away after training."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.encoder: UMT5EncoderModel = build_text_encoder(vocab_size)
        self.heads = nn.ModuleDict({k: nn.Linear(TEXT_DIM, len(v) + 1) for k, v in CLASSES.items()})

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states, {k: head(states) for k, head in self.heads.items()}


def tokenizer() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))


def encode(processor: sentencepiece.SentencePieceProcessor, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids with the end mark, padded, and their mask, both (n, longest)."""
    rows = [[*processor.encode(text)[: LONGEST - 1], END] for text in texts]
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def batch(rng: np.random.Generator, count: int, short: bool) -> tuple[list[str], dict[str, Tensor]]:
    """Captions and the class of each attribute; the last class stands for "not said".

    Scenes come in pairs that differ in the direction alone, said in the same words: only their order tells them apart.
    """
    every = training_scenes()
    texts: list[str] = []
    labels: list[Scene | None] = []
    for index in rng.integers(len(every), size=count // 2):
        blank = rng.random()
        if blank < 0.06:
            texts.append(negative(rng) if blank < 0.03 else plain_filler(rng))
            labels.append(None)
        scene = every[index]
        if scene.motion not in MIRROR and rng.random() < 0.4:
            scene = dataclasses.replace(scene, motion=str(rng.choice(list(MIRROR))))
        twin = dataclasses.replace(scene, motion=MIRROR.get(scene.motion, scene.motion))
        seed = int(rng.integers(2**31))
        for one in (scene, twin):
            texts.append(draw_caption(one, np.random.default_rng(seed), short))
            labels.append(one)
    targets = {
        k: torch.tensor([len(names) if s is None else names.index(getattr(s, k)) for s in labels])
        for k, names in CLASSES.items()
    }
    return texts, targets


def train(steps: int, seed: int, device: str, size: int = 64) -> Reader:
    """Run, or go on with, the training; prints the share of tokens that read each attribute right."""
    torch.manual_seed(seed)
    processor = tokenizer()
    reader = Reader(processor.get_piece_size()).to(device)
    nn.init.normal_(reader.encoder.shared.weight, std=0.5)
    opts = muon.optimizers(reader, lr=0.01, adam_lr=4e-3)
    first = 0
    if saved := state.load(STATE):
        reader.load_state_dict(saved["model"])
        for opt, kept in zip(opts, saved["optimizers"], strict=True):
            opt.load_state_dict(kept)
        first = saved["step"]
    begun = time.time()
    for step in range(first, steps):
        rng = np.random.default_rng([seed, 2, step])
        short = rng.random() < 0.75
        texts, targets = batch(rng, size if short else size // 3, short)
        ids, mask = (x.to(device) for x in encode(processor, texts))
        muon.set_rate(opts, min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.005)
        loss, right = loss_of(reader, ids, mask, targets)
        for opt in opts:
            opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        for opt in opts:
            opt.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state.save(STATE, model=reader.state_dict(), optimizers=[o.state_dict() for o in opts], step=step + 1)
            print(step + 1, f"{time.time() - begun:.0f}s", f"{loss.item():.4f}", right, flush=True)
    return reader.eval()


def loss_of(reader: Reader, ids: Tensor, mask: Tensor, targets: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy over real tokens and attributes, and the share of captions whose end mark reads each right."""
    _, logits = reader(ids, mask)
    real = mask.bool()
    total = torch.zeros((), device=ids.device)
    right = {}
    for name, logit in logits.items():
        wanted = targets[name].to(ids.device)[:, None].expand_as(ids)
        total = total + F.cross_entropy(logit[real], wanted[real])
        right[name] = round(float((logit[real].argmax(-1) == wanted[real]).float().mean()), 3)
    return total / len(logits), right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    train(args.steps, args.seed, args.device)


if __name__ == "__main__":
    main()
