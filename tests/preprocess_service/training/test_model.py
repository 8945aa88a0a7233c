"""Where the training of the embedded BART begins, and that it learns and can be broken off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch

from preprocess_service.training.batches import Batch, batches, collate
from preprocess_service.training.model import END, PLACE, START, VOCABULARY, build, shift, sinusoids, step_back
from preprocess_service.training.muon import orthogonal
from preprocess_service.training.train import Trainer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REELGATE_BART_TRAINING_CACHE", str(tmp_path))
    return tmp_path


def rows(count: int, length: int, seed: int) -> Batch:
    """Random ids, the same as source and target."""
    random = Random(seed)
    made = [[START, *(random.randrange(5, VOCABULARY) for _ in range(length)), END] for _ in range(count)]
    return collate([(row, row) for row in made])


def test_a_step_back_turns_the_sinusoids_of_a_place_into_those_of_the_one_before() -> None:
    table = sinusoids()[:, :PLACE]
    torch.testing.assert_close(table[1:101] @ step_back().T, table[:100], atol=1e-5, rtol=1e-4)


def test_a_new_model_already_copies_better_than_chance_at_any_place() -> None:
    torch.manual_seed(0)
    model = build().eval()
    for first in (0, 700):
        shift(model, first)
        batch = rows(16, 30, first)
        with torch.no_grad():
            logits = model(input_ids=batch.source, labels=batch.target).logits
        right = (logits.argmax(-1) == batch.target).float().mean()
        assert right > 0.1  # one in 4,000 by chance


def test_a_few_steps_teach_to_copy(cache: Path) -> None:
    trainer = Trainer(steps=1_000)
    random = Random(0)
    losses = [trainer.learn(rows(48, 12, seed), random) for seed in range(40)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_run_that_was_broken_off_goes_on_as_if_it_had_not_been(cache: Path) -> None:
    whole, parted = Trainer(steps=100), Trainer(steps=100)
    for seed in range(4):
        wanted = whole.learn(rows(4, 8, seed), Random(seed))
        if seed == 2:
            parted.save()
            parted = Trainer(steps=100)
        assert parted.learn(rows(4, 8, seed), Random(seed)) == wanted


def test_an_update_is_made_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((3, 24, 40), (2, 40, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_batches_are_padded_on_the_right_and_marked() -> None:
    class Letters:
        """A tokenizer of letters."""

        def encode(self, text: str) -> Letters:
            self.ids = [START, *(5 + ord(letter) % 90 for letter in text), END]
            return self

    for batch in batches(Letters(), 0.02, Random(1)):
        assert batch.source.shape == batch.mask.shape
        lengths = batch.mask.sum(1)
        assert all(int(row[int(n) - 1]) == END for row, n in zip(batch.source, lengths, strict=True))
        assert (batch.target[:, 0] == START).all()


def test_the_service_never_imports_the_training() -> None:
    code = (
        "import sys, preprocess_service.app, preprocess_service.commands, preprocess_service.summarise.bart; "
        "sys.exit(any(name.startswith('preprocess_service.training') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
