"""CTranslate2 against its oracle, and a prompt alone against the same prompt in a batch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from preprocess_service.summarise.bart import BATCH, lengths
from preprocess_service.summarise.runtime import CTranslate2, Runtime, Transformers

from .small_bart import texts

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = pytest.mark.timeout(300)
PROMPTS = 504


def rows_of(runtime: Runtime, count: int) -> list[list[int]]:
    return [list(runtime.tokenizer.encode(text).ids) for text in texts(count)]


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("which", ["checkpoint", "opening_checkpoint"])
def test_in_fp32_both_write_the_same_tokens(
    which: str, beams: int, cache: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(which)
    mine = CTranslate2(folder, compute="float32", beams=beams, threads=1, cache=cache)
    oracle = Transformers(folder, beams=beams, threads=1)
    assert mine.facts == oracle.facts
    rows = rows_of(oracle, 40)
    assert rows == rows_of(mine, 40)
    written = []
    for row in rows:
        bounds = lengths(len(row), 0.7)
        (one,) = mine.generate([row], *bounds)
        assert [one] == oracle.generate([row], *bounds)
        assert bounds[0] <= len(one) <= bounds[1]
        written.append(tuple(one))
    assert len(set(written)) > len(rows) // 2


@pytest.mark.parametrize("beams", [1, 4])
def test_a_batch_of_equal_lengths_changes_nothing(checkpoint: Path, cache: Path, beams: int) -> None:
    """504 random inputs; of mixed lengths some differ in int8, which is why batches are not mixed."""
    runtime = CTranslate2(checkpoint, compute="int8", beams=beams, threads=2, cache=cache)
    chance = random.Random(3)
    for _ in range(PROMPTS // BATCH):
        size = chance.randint(20, 110)
        rows = [[0, *(chance.randrange(4, 280) for _ in range(size)), 2] for _ in range(BATCH)]
        assert runtime.generate(rows, 20, 30) == [runtime.generate([row], 20, 30)[0] for row in rows]


def test_a_version_names_all_that_decides_the_output(checkpoint: Path, opening_checkpoint: Path, cache: Path) -> None:
    versions = {
        CTranslate2(folder, compute=compute, beams=beams, threads=1, cache=cache).version
        for folder in (checkpoint, opening_checkpoint)
        for compute in ("int8", "float32")
        for beams in (1, 4)
    }
    versions.add(Transformers(checkpoint, beams=4, threads=1).version)
    assert len(versions) == 9
