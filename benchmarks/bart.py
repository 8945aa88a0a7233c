"""BART at bart-large's size with random weights: CTranslate2 int8 beside transformers fp32, and eight prompts beside one by one.

    python -m benchmarks.bart [--quick]

Both runtimes read the same prompts and write outputs of equal length in the same run, on the same threads; figures are
ratios of CPU time (speed) and of wall time (throughput). --quick takes fewer prompts and shorter outputs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tokenizers
import torch
import transformers

from benchmarks.report import Goal, close
from preprocess_service.summarise.bart import BATCH
from preprocess_service.summarise.runtime import CTranslate2, Runtime, Transformers

READ = 120
"""Tokens of a prompt, marks included."""
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
MARKS = ("bos_token", "pad_token", "eos_token", "unk_token")
Rows = list[list[int]]


def main() -> int:
    """Make a checkpoint, measure, print the table; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 prompts, 16 tokens out")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--beams", type=int, default=4, help="for the comparison with transformers and for the batches")
    given = parser.parse_args()
    write, prompts = (16, BATCH) if given.quick else (48, 3 * BATCH)
    with tempfile.TemporaryDirectory(prefix="bart_large_") as folder:
        source = large(Path(folder) / "source")
        torch.set_num_threads(given.threads)
        options = {"beams": given.beams, "threads": given.threads}
        fast = CTranslate2(source, compute="int8", cache=Path(folder) / "cache", **options)
        rows = some_rows(prompts)
        slow_cpu, fast_cpu, same = compare(
            Transformers(source, **options), fast, rows[: 2 if given.quick else 4], write
        )
        alone, together, equal = batches(fast, rows, write)
    print(
        f"bart-large size, random weights, {given.beams} beams, {given.threads} threads, {READ} tokens in, {write} out"
    )
    print(f"CPU seconds a prompt: transformers fp32 {slow_cpu:.2f}, CTranslate2 int8 {fast_cpu:.2f}")
    print(
        f"seconds a prompt: one by one {alone:.3f}, in batches of {BATCH} {together:.3f}; {equal} of {len(rows)} equal"
    )
    return close(
        [
            Goal(name="CPU, transformers fp32 / CTranslate2 int8", value=slow_cpu / fast_cpu, compare=">=", target=3.0),
            Goal(name="outputs of equal length in that comparison", value=same, compare="==", target=1.0),
            Goal(name=f"throughput, batches of {BATCH} / one by one", value=alone / together, compare=">=", target=1.5),
            Goal(name="outputs equal alone and in a batch", value=equal / len(rows), compare="==", target=1.0),
        ]
    )


def large(folder: Path) -> Path:
    """A checkpoint of bart-large's shape (406 million weights) with a small tokenizer; weights of small variance."""
    inner = tokenizers.ByteLevelBPETokenizer()
    inner.train_from_iterator(["a red ball"], vocab_size=300, special_tokens=SPECIALS)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, **dict(zip(MARKS, SPECIALS, strict=True))
    )
    torch.manual_seed(0)
    config = transformers.BartConfig(vocab_size=50264, init_std=0.02)
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def some_rows(count: int) -> Rows:
    """Random prompts of equal length: only those share a batch."""
    chance = random.Random(1)
    return [[0, *(chance.randrange(4, 50_000) for _ in range(READ - 2)), 2] for _ in range(count)]


def compare(slow: Runtime, fast: Runtime, rows: Rows, write: int) -> tuple[float, float, float]:
    """CPU seconds a prompt of both, taking turns, and the share of outputs of equal length."""
    costs: dict[Runtime, float] = dict.fromkeys((slow, fast), 0.0)
    sizes: dict[Runtime, list[int]] = {slow: [], fast: []}
    for runtime in costs:
        runtime.generate(rows[:1], 2, 2)
    for row, runtime in itertools.product(rows, costs):
        seconds, (out,) = timed(time.process_time, lambda r=runtime, one=row: r.generate([one], write, write))  # type: ignore[misc]
        costs[runtime] += seconds / len(rows)
        sizes[runtime].append(len(out))
    same = sum(a == b for a, b in zip(sizes[slow], sizes[fast], strict=True)) / len(rows)
    return costs[slow], costs[fast], same


def batches(runtime: Runtime, rows: Rows, write: int) -> tuple[float, float, int]:
    """Wall seconds a prompt alone and in batches, taking turns, and how many outputs are equal."""
    alone = together = 0.0
    equal = 0
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        seconds, single = timed(
            time.perf_counter, lambda b=some: [runtime.generate([row], write, write)[0] for row in b]
        )  # type: ignore[misc]
        alone += seconds / len(rows)
        seconds, shared = timed(time.perf_counter, lambda b=some: runtime.generate(b, write, write))  # type: ignore[misc]
        together += seconds / len(rows)
        equal += sum(a == b for a, b in zip(single, shared, strict=True))
    return alone, together, equal


def timed(clock: Callable[[], float], work: Callable[[], Rows]) -> tuple[float, Rows]:
    """What ``work`` cost and gave."""
    started = clock()
    made = work()
    return clock() - started, made


if __name__ == "__main__":
    sys.exit(main())
