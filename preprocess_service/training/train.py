"""Trains the embedded BART on one CPU thread: resumable, its state in the user's cache folder.

python -m preprocess_service.training.train --steps 1300
"""

from __future__ import annotations

import argparse
import time
from random import Random

import torch

from . import state, tokenizer
from .batches import Batch, batches
from .judge import copied
from .model import POSITIONS, build, shift
from .muon import Muon

MATRIX_RATE, OTHER_RATE = 0.006, 0.002
WARM = 60
SAVED = "model.pt"
SAVE_EVERY, LOOK_EVERY, SAY_EVERY = 100, 500, 25


class Trainer:
    """Model, optimisers and where they are. ``steps`` is where the rates reach zero."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(0)
        self.steps, self.step = steps, 0
        self.model = build()
        free = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in free if p.ndim == 2 and "shared" not in name]
        others = [p for name, p in free if p.ndim != 2 or "shared" in name]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0)
        if saved := state.load(SAVED):
            self.step = saved["step"]
            self.model.load_state_dict(saved["model"])
            self.adam.load_state_dict(saved["adam"])
            self.muon.velocities = saved["velocities"]

    def save(self) -> None:
        shift(self.model, 0)
        state.save(
            SAVED,
            step=self.step,
            model=self.model.state_dict(),
            adam=self.adam.state_dict(),
            velocities=self.muon.velocities,
        )

    def learn(self, batch: Batch, random: Random) -> float:
        """One step; the loss in nats a token."""
        room = POSITIONS - max(batch.source.shape[1], batch.target.shape[1])
        shift(self.model, random.randint(0, room) if random.random() < 0.5 else 0)
        loss = self.model(input_ids=batch.source, attention_mask=batch.mask, labels=batch.target).loss
        loss.backward()
        rate = min(1.0, (self.step + 1) / WARM, max(0.02, 1.25 * (1 - self.step / self.steps)))
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step(MATRIX_RATE * rate)
        self.adam.param_groups[0]["lr"] = OTHER_RATE * rate
        self.adam.step()
        self.model.zero_grad()
        self.step += 1
        return float(loss.detach())


def train(steps: int) -> None:
    """Go on from the saved step to ``steps``."""
    words, trainer, began = tokenizer.load(), Trainer(steps), time.monotonic()
    losses: list[float] = []
    while trainer.step < steps:
        random = Random(trainer.step)
        for batch in batches(words, trainer.step / steps, random):
            losses.append(trainer.learn(batch, random))
            if trainer.step % SAY_EVERY == 0:
                mean, losses = sum(losses) / len(losses), []
                print(f"{trainer.step:6} loss {mean:.4f}  {time.monotonic() - began:.0f} s", flush=True)
            if trainer.step % LOOK_EVERY == 0:
                shift(trainer.model, 0)
                print(f"{trainer.step:6} {copied(trainer.model, words)}", flush=True)
            if trainer.step % SAVE_EVERY == 0 or trainer.step >= steps:
                trainer.save()
            if trainer.step >= steps:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_300)
    torch.set_num_threads(1)
    train(parser.parse_args().steps)


if __name__ == "__main__":
    main()
