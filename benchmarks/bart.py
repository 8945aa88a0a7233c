"""BART of random weights: CTranslate2 int8 beside transformers fp32, eight prompts beside one by one, alone beside in company.

    python benchmarks/bart.py [--quick]

The first two comparisons have bart-large's size (406 million weights); both sides take turns in one run, on the same threads,
read the same real prompts and write outputs of equal length. CPU is that of this process, throughput is by the clock. The third
writes 504 prompts of the shared data alone and in batches of 8, each within its own length, at bart-large's width with two layers
a side and 8,000 words. --quick takes that small one everywhere and fewer prompts.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tokenizers
import torch
import transformers

from benchmarks.prompt_data import load, texts
from benchmarks.report import Goal, close
from preprocess_service.summarise.bart import BATCH, lengths
from preprocess_service.summarise.runtime import CTranslate2, Runtime, Transformers

WRITE = 48
"""Tokens of an output where the two sides are timed."""
EQUAL = 63 * BATCH
"""Prompts that are written alone and in a batch."""
READ_MIN, READ_MAX = 60, 200
"""Tokens of a prompt that a line hands to BART."""
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
MARKS = ("bos_token", "pad_token", "eos_token", "unk_token")
Rows = list[list[int]]


def main() -> int:
    """Make the checkpoints, measure, print the table; 1 when a full run missed a goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two layers, 8 prompts a comparison")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--beams", type=int, default=4)
    given = parser.parse_args()
    options = {"beams": given.beams, "threads": given.threads}
    prompts = sorted({text for row in load() if row.get("lang") == "en" for text in texts(row)})
    if not prompts:
        print("the shared data is not at ../shared/data", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bart_") as made:
        folder = Path(made)
        small = checkpoint(folder / "small", prompts, layers=2, words=8000)
        large = small if given.quick else checkpoint(folder / "large", prompts, layers=12, words=50264)
        fast = CTranslate2(large, compute="int8", cache=folder / "cache", **options)
        groups = grouped(fast, prompts, BATCH if given.quick else EQUAL)
        few = groups[: 1 if given.quick else 2]
        slow_cpu, fast_cpu, same = compare(Transformers(large, **options), fast, few[0][: 2 if given.quick else 4])
        alone, together, cpu, large_equal = batches(fast, few)
        light = fast if given.quick else CTranslate2(small, compute="int8", cache=folder / "cache", **options)
        equal = sum(equal_alone(light, rows) for rows in groups)
    timed_rows, all_rows = len(few) * BATCH, len(groups) * BATCH
    print(f"random weights, {given.beams} beams, {given.threads} threads, {WRITE} tokens out")
    print(f"CPU seconds a prompt: transformers fp32 {slow_cpu:.2f}, CTranslate2 int8 {fast_cpu:.2f}")
    print(f"wall seconds a prompt: one by one {alone:.2f}, in batches of {BATCH} {together:.2f} (CPU: {cpu:.2f} times)")
    print(f"equal alone and in a batch: {large_equal} of {timed_rows} at the timed size, {equal} of {all_rows} in all")
    missed = close(
        [
            Goal(name="CPU, transformers fp32 / CTranslate2 int8", value=slow_cpu / fast_cpu, compare=">=", target=3.0),
            Goal(name="outputs of equal length in that comparison", value=same, compare="==", target=1.0),
            Goal(name=f"throughput, batches of {BATCH} / one by one", value=alone / together, compare=">=", target=1.5),
            Goal(name="outputs equal at that size", value=large_equal / timed_rows, compare="==", target=1.0),
            Goal(name=f"outputs equal, {all_rows} prompts", value=equal / all_rows, compare="==", target=1.0),
        ]
    )
    return 0 if given.quick else missed


def checkpoint(folder: Path, prompts: list[str], *, layers: int, words: int) -> Path:
    """A checkpoint of bart-large's width with ``layers`` a side and room for ``words``; its tokenizer has 8,000, of the prompts."""
    inner = tokenizers.ByteLevelBPETokenizer()
    inner.train_from_iterator(prompts, vocab_size=8000, special_tokens=SPECIALS, show_progress=False)
    inner._tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, **dict(zip(MARKS, SPECIALS, strict=True))
    )
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BartConfig(vocab_size=words, encoder_layers=layers, decoder_layers=layers, init_std=0.02)
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def grouped(runtime: Runtime, prompts: list[str], count: int) -> list[Rows]:
    """``count`` prompts as batches of equal length, of any lengths that a line hands to BART; drawn with a fixed seed."""
    found: dict[int, Rows] = defaultdict(list)
    for text in random.Random(1).sample(prompts, len(prompts)):
        row = list(runtime.tokenizer.encode(text).ids)
        if READ_MIN <= len(row) <= READ_MAX:
            found[len(row)].append(row)
    groups = [rows[at : at + BATCH] for rows in found.values() for at in range(0, len(rows) - BATCH + 1, BATCH)]
    random.Random(2).shuffle(groups)
    return groups[: count // BATCH]


def compare(slow: Runtime, fast: Runtime, rows: Rows) -> tuple[float, float, float]:
    """CPU seconds a prompt of both, taking turns, and the share of outputs of equal length."""
    costs: dict[Runtime, float] = dict.fromkeys((slow, fast), 0.0)
    sizes: dict[Runtime, list[int]] = {slow: [], fast: []}
    for runtime in costs:
        runtime.generate(rows[:1], 2, 2)
    for row, runtime in itertools.product(rows, costs):
        cpu, _, (out,) = timed(lambda r=runtime, one=row: r.generate([one], WRITE, WRITE))  # type: ignore[misc]
        costs[runtime] += cpu / len(rows)
        sizes[runtime].append(len(out))
    same = sum(a == b for a, b in zip(sizes[slow], sizes[fast], strict=True)) / len(rows)
    return costs[slow], costs[fast], same


def batches(runtime: Runtime, groups: list[Rows]) -> tuple[float, float, float, int]:
    """Wall seconds a prompt alone and in batches, taking turns; CPU alone over CPU in batches; how many outputs are equal."""
    wall, cpu, equal, count = [0.0, 0.0], [0.0, 0.0], 0, BATCH * len(groups)
    for rows in groups:
        made = []
        for way, parts in enumerate(([[row] for row in rows], [rows])):
            work, clock, out = timed(lambda p=parts: [o for part in p for o in runtime.generate(part, WRITE, WRITE)])  # type: ignore[misc]
            cpu[way] += work
            wall[way] += clock / count
            made.append(out)
        equal += sum(a == b for a, b in zip(*made, strict=True))
    return wall[0], wall[1], cpu[0] / cpu[1], equal


def equal_alone(runtime: Runtime, rows: Rows) -> int:
    """How many of a batch are equal alone, each within the length that the service asks for."""
    bounds = lengths(len(rows[0]), 0.7)
    together = runtime.generate(rows, *bounds)
    return sum(runtime.generate([row], *bounds) == [out] for row, out in zip(rows, together, strict=True))


def timed(work: Callable[[], Rows]) -> tuple[float, float, Rows]:
    """CPU seconds of the process, wall seconds, and what ``work`` gave."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = work()
    return time.process_time() - cpu, time.perf_counter() - wall, made


if __name__ == "__main__":
    sys.exit(main())
